//! What the worker program has, for `/api/v1/server`: it is asked when somebody wants to know it, and once.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use transcode::{About, Worker};

use crate::clock;

/// A worker says who it is within so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that did not is asked again only after so long: each time costs a process.
const AGAIN: Duration = Duration::from_secs(30);

/// The worker, and what it has said.
#[derive(Debug)]
pub(super) struct Encoders {
    /// Or why there is none.
    worker: Result<Worker, String>,
    /// Held while it is asked, so that there is never more than one process of these.
    said: Mutex<Option<(Instant, Result<About, String>)>>,
}

impl Encoders {
    pub(super) fn new(worker: Result<Worker, String>) -> Self {
        Self { worker, said: Mutex::default() }
    }

    /// What it has, or why it has nothing.
    pub(super) async fn found(&self) -> Result<About, String> {
        let worker = self.worker.as_ref().map_err(Clone::clone)?;
        let mut said = self.said.lock().await;
        let now = clock::now();
        if let Some((at, known)) = &*said
            && (known.is_ok() || now.saturating_duration_since(*at) < AGAIN)
        {
            return known.clone();
        }
        let answer = transcode::probe(worker, PATIENCE).await;
        *said = Some((clock::now(), answer.clone()));
        answer
    }
}
