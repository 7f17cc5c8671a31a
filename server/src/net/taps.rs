//! The taps of one media thread: bounded channels to whoever takes a publisher's packets out of RTP.
//! Nothing here waits: a full one is its reader's business.

use std::collections::HashMap;
use std::sync::Arc;

use sfu::feed::Batch;
use sfu::{Shard, TapId};
use signaling::SessionId;
use tokio::sync::mpsc;

/// Who reads which publisher.
#[derive(Debug, Default)]
pub(super) struct Taps {
    readers: HashMap<TapId, (SessionId, mpsc::Sender<Arc<Batch>>)>,
    next: u64,
}

impl Taps {
    /// One more; false if the publisher does not live on this shard.
    pub(super) fn add(
        &mut self,
        shard: &mut Shard,
        publisher: SessionId,
        reader: mpsc::Sender<Arc<Batch>>,
    ) -> bool {
        let tap = TapId(self.next);
        self.next += 1;
        let lives = shard.tap(super::now(), publisher, tap);
        if lives {
            self.readers.insert(tap, (publisher, reader));
        }
        lives
    }

    /// Hands on what the shard has for them.
    pub(super) fn drain(&mut self, shard: &mut Shard) {
        while let Some((tap, batch)) = shard.poll_tap() {
            let Some((publisher, reader)) = self.readers.get(&tap) else { continue };
            let Some(batch) = batch else {
                self.readers.remove(&tap);
                continue;
            };
            match reader.try_send(batch) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(batch)) => shard.tap_full(&batch),
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    shard.untap(*publisher, tap);
                    self.readers.remove(&tap);
                }
            }
        }
    }
}
