//! What a worker program is: it is started, says hello, and is let go again.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::timeout;

use super::process::Process;
use super::{Worker, other_version, plain};
use crate::protocol::{Hello, Message, Reader, VERSION};

/// Given to a worker to end by itself.
const GRACE: Duration = Duration::from_millis(300);

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Name and version.
    pub program: String,
    /// The encoders that it has found, by their names in its libraries.
    pub encoders: Vec<String>,
}

/// Asks a worker, which may take so long. To be called within a tokio runtime with time and I/O.
///
/// # Errors
/// Why it does not say, in plain words.
pub async fn probe(worker: &Worker, patience: Duration) -> Result<About, String> {
    let path = worker.path.display();
    let mut process =
        Process::start(worker).map_err(|error| format!("{path} cannot be started: {error}"))?;
    let said = timeout(patience, hello(&mut process)).await;
    let became = process.end(if said.is_ok() { GRACE } else { Duration::ZERO }).await;
    match said {
        Err(_) => Err(format!("{path} said nothing for {} s", patience.as_secs_f32())),
        Ok(Err(Silence::Gone)) => Err(format!("{path}: {became}")),
        Ok(Err(Silence::Broken(what))) => Err(format!("{path} sent {what}")),
        Ok(Ok(hello)) if hello.version != VERSION => Err(other_version(worker, hello.version)),
        Ok(Ok(hello)) => Ok(About {
            program: plain(&hello.program),
            encoders: hello.encoders.iter().map(|name| plain(name)).collect(),
        }),
    }
}

/// Why there was no hello.
enum Silence {
    Gone,
    Broken(String),
}

async fn hello(process: &mut Process) -> Result<Hello, Silence> {
    let mut reader = Reader::default();
    let mut piece = [0; 4096];
    loop {
        match reader.read() {
            Ok(Some(Message::Hello(hello))) => return Ok(hello),
            Ok(Some(_)) => return Err(Silence::Broken("something else before its hello".into())),
            Ok(None) => {}
            Err(error) => return Err(Silence::Broken(error.to_string())),
        }
        process.socket.readable().await.map_err(|_| Silence::Gone)?;
        match process.socket.try_read(&mut piece) {
            Ok(0) => return Err(Silence::Gone),
            Ok(length) => reader.push(&piece[..length]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Err(Silence::Gone),
        }
    }
}
