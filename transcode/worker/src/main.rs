//! `weir-transcoder`: started by `weir` with one end of a socket pair as its stdin, once per bridge. By hand it
//! only says what it is.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use worker::{av, limits, run};

const PROGRAM: &str = concat!("weir-transcoder ", env!("CARGO_PKG_VERSION"));

const BY_HAND: &str = "This program decodes and encodes for the streaming server `weir`, which starts it \
when a viewer needs another codec than the publisher sends. There is nothing to start by hand.\n\
  weir-transcoder --version    what it is, its libraries and its encoders";

/// What stands on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    version: bool,
    nice: u8,
    /// MiB; 0: no limit.
    memory_mb: u32,
    /// 0: as many as there are cores, four at most.
    threads: u16,
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last line on stderr is what the server shows.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    av::init();
    if arguments.version {
        let text =
            format!("{PROGRAM}\n{}\nencoders: {}", av::version(), run::encoders().join(", "));
        return writeln!(io::stdout(), "{text}").map_err(|error| error.to_string());
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let socket = UnixStream::from(stdin);
    if socket.local_addr().is_err() {
        return Err(format!("{PROGRAM}. {BY_HAND}"));
    }
    limits::apply(arguments.nice, arguments.memory_mb)
        .map_err(|error| format!("the limits of the worker could not be set: {error}"))?;
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)) as u16,
        threads => threads.min(64),
    };
    run::run(socket, PROGRAM, run::Options { threads }).map_err(|error| error.to_string())
}

impl Arguments {
    fn read(mut from: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(name) = from.next() {
            if name == "--version" || name == "-V" {
                arguments.version = true;
                continue;
            }
            let value = from.next();
            let number = value.as_deref().unwrap_or_default().parse::<u32>();
            let wrong = |_| format!("{name} takes a number, not {:?}. {BY_HAND}", value.as_deref());
            let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
            match name.as_str() {
                "--nice" => arguments.nice = number.map_err(wrong)?.min(19) as u8,
                "--memory-mb" => arguments.memory_mb = number.map_err(wrong)?,
                "--threads" => arguments.threads = small(number.map_err(wrong)?),
                _ => return Err(format!("{PROGRAM} does not know {name:?}. {BY_HAND}")),
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_what_the_server_sends() {
        let wanted = Arguments { version: false, nice: 5, memory_mb: 512, threads: 2 };
        assert_eq!(read("--nice 5 --memory-mb 512 --threads 2"), Ok(wanted));
        assert!(read("--version").unwrap().version);
        assert!(read("--nice").is_err() && read("--nice x").is_err() && read("--help").is_err());
    }
}
