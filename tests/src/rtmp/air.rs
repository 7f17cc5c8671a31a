//! A show in real time, again and again, from FLV tags: the encoder that a test has in its hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Rtmp;
use crate::flv::Tag;

/// A picture that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// Of its message, in ms: when it is decoded.
    pub timestamp: u32,
    /// A decoder can start here.
    pub key: bool,
    /// Its slices, as they are.
    pub slices: Vec<Bytes>,
}

/// A show on its way.
pub struct Air {
    stop: Arc<AtomicBool>,
    sent: Arc<Mutex<Vec<Sent>>>,
    thread: JoinHandle<Rtmp>,
}

impl Air {
    /// Sends `tags`, which last for `length` ms, at the times that they carry and `first` ms more, until it is stopped or the
    /// connection breaks.
    pub fn start(rtmp: Rtmp, tags: Vec<Tag>, length: u32, first: u32) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, noted) = (stop.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            let mut rtmp = rtmp;
            let began = Instant::now();
            for round in 0u32.. {
                for tag in &tags {
                    let time = round * length + tag.time;
                    let due = began + Duration::from_millis(time.into());
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if stopped.load(Ordering::Relaxed) {
                        return rtmp;
                    }
                    let timestamp = first.wrapping_add(time);
                    if tag.is_picture() {
                        let (at, slices) = (Instant::now(), tag.slices());
                        let key = tag.is_keyframe();
                        noted.lock().unwrap().push(Sent { at, timestamp, key, slices });
                    }
                    if rtmp.send(tag, timestamp).is_err() {
                        return rtmp;
                    }
                }
            }
            rtmp
        });
        Self { stop, sent, thread }
    }

    /// Every picture until now.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// True until the connection breaks.
    pub fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Sends nothing any more; the connection stays.
    pub fn stop(self) -> Rtmp {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sends")
    }
}
