//! The bounded lanes between every two media threads, and the bell that wakes one. Nothing here
//! waits: a full lane is the sender's business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

/// Messages that may wait between two shards: some 10 ms of a busy publisher each millisecond.
const LANE: usize = 1024;
/// Messages heard per lane and turn.
const PER_TURN: usize = 64;
/// So many turns empty a full lane.
pub(super) const TURNS: usize = LANE / PER_TURN + 1;

/// Wakes a thread, by a system call only if it sleeps.
#[derive(Debug)]
pub(super) struct Bell {
    waker: mio::Waker,
    awake: AtomicBool,
}

impl Bell {
    pub(super) fn new(waker: mio::Waker) -> Arc<Self> {
        Arc::new(Self { waker, awake: AtomicBool::new(true) })
    }

    /// There is something in a lane.
    pub(super) fn ring(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // Fails only if the poll is gone, and then so is the thread.
            let _ = self.waker.wake();
        }
    }

    /// The thread is about to sleep; after this it must look into its lanes once more, and not
    /// sleep if there is something: whoever came before has not rung.
    pub(super) fn rest(&self) {
        self.awake.swap(false, Ordering::AcqRel);
    }

    /// The thread will look into its lanes before it sleeps again.
    pub(super) fn rise(&self) {
        self.awake.store(true, Ordering::Release);
    }
}

/// One shard's ends of the lanes.
#[derive(Debug)]
pub(super) struct Lanes<M> {
    to: Vec<To<M>>,
    from: Vec<mpsc::Receiver<M>>,
}

#[derive(Debug)]
struct To<M> {
    lane: mpsc::Sender<M>,
    bell: Arc<Bell>,
    /// What must not be lost and found the lane full; it goes first.
    held: VecDeque<M>,
    sent: bool,
}

impl<M> Lanes<M> {
    /// The ends of every shard, for as many shards as there are bells. (There is a lane to oneself
    /// too, which nobody uses.)
    pub(super) fn between(bells: &[Arc<Bell>]) -> Vec<Self> {
        let mut all: Vec<Self> =
            bells.iter().map(|_| Self { to: Vec::new(), from: Vec::new() }).collect();
        for (reader, bell) in bells.iter().enumerate() {
            for writer in 0..bells.len() {
                let (lane, inbox) = mpsc::channel(LANE);
                let to = To { lane, bell: bell.clone(), held: VecDeque::new(), sent: false };
                all[writer].to.push(to);
                all[reader].from.push(inbox);
            }
        }
        all
    }

    /// Puts a message into the lane to shard `to`. What finds it full comes back if it may be lost,
    /// and waits for room if not.
    pub(super) fn send(&mut self, to: usize, message: M, may_be_lost: bool) -> Option<M> {
        let Some(to) = self.to.get_mut(to) else { return may_be_lost.then_some(message) };
        to.retry();
        let refused = match to.held.is_empty() {
            true => to.put(message),
            false => Some(message),
        };
        match refused {
            Some(message) if !may_be_lost => {
                to.held.push_back(message);
                None
            }
            refused => refused,
        }
    }

    /// Ends a batch of [`Lanes::send`]: tries again what is held, and rings once per lane.
    pub(super) fn ring(&mut self) {
        for to in &mut self.to {
            to.retry();
            if std::mem::take(&mut to.sent) {
                to.bell.ring();
            }
        }
    }

    /// Takes what came, of each lane a bounded number; true if there may be more.
    pub(super) fn receive(&mut self, mut hear: impl FnMut(M)) -> bool {
        let mut more = false;
        for inbox in &mut self.from {
            let mut left = PER_TURN;
            while left > 0
                && let Ok(message) = inbox.try_recv()
            {
                hear(message);
                left -= 1;
            }
            more |= left == 0;
        }
        more
    }

    /// Nothing waits to be received.
    pub(super) fn is_empty(&self) -> bool {
        self.from.iter().all(mpsc::Receiver::is_empty)
    }

    /// Something waits for room in a lane.
    pub(super) fn holds(&self) -> bool {
        self.to.iter().any(|to| !to.held.is_empty())
    }
}

impl<M> To<M> {
    /// Returns the message if the lane is full.
    fn put(&mut self, message: M) -> Option<M> {
        match self.lane.try_send(message) {
            Ok(()) => self.sent = true,
            Err(mpsc::error::TrySendError::Full(message)) => return Some(message),
            // That thread has ended, and so does the server.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
        None
    }

    fn retry(&mut self) {
        while let Some(message) = self.held.pop_front() {
            if let Some(message) = self.put(message) {
                self.held.push_front(message);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell() -> (mio::Poll, Arc<Bell>) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (poll, Bell::new(waker))
    }

    fn received(lanes: &mut Lanes<usize>) -> Vec<usize> {
        let mut all = Vec::new();
        while lanes.receive(|n| all.push(n)) {}
        all
    }

    #[test]
    fn a_full_lane_gives_back_what_may_be_lost_and_keeps_the_rest_in_order() {
        let (a, b) = (bell(), bell());
        let mut lanes = Lanes::between(&[a.1.clone(), b.1.clone()]);
        let mut reader = lanes.pop().unwrap();
        let mut writer = lanes.pop().unwrap();
        for n in 0..LANE {
            assert_eq!(writer.send(1, n, true), None);
        }
        assert_eq!(writer.send(1, 7777, true), Some(7777));
        assert_eq!(writer.send(1, LANE, false), None);
        assert_eq!(writer.send(1, LANE + 1, false), None);
        assert!(writer.holds());
        assert_eq!(received(&mut reader), (0..LANE).collect::<Vec<_>>());
        assert_eq!(writer.send(1, LANE + 2, true), None);
        assert!(!writer.holds());
        assert_eq!(received(&mut reader), [LANE, LANE + 1, LANE + 2]);
        assert!(reader.is_empty());
    }

    #[test]
    fn each_lane_gets_its_turn() {
        let bells: Vec<_> = (0..3).map(|_| bell()).collect();
        let mut lanes = Lanes::between(&bells.iter().map(|b| b.1.clone()).collect::<Vec<_>>());
        for n in 0..PER_TURN + 1 {
            lanes[0].send(2, n, true);
        }
        lanes[1].send(2, 9999, true);
        let mut heard = Vec::new();
        assert!(lanes[2].receive(|n| heard.push(n)));
        assert_eq!((heard.len(), heard.last()), (PER_TURN + 1, Some(&9999)));
        assert_eq!(received(&mut lanes[2]), [PER_TURN]);
    }

    /// Two threads that sleep without a time limit wherever they can: a lost wake hangs here.
    #[test]
    fn no_wake_is_lost() {
        const ROUNDS: usize = 20_000;
        let (a, b) = (bell(), bell());
        let mut lanes = Lanes::between(&[a.1.clone(), b.1.clone()]);
        let (second, first) = (lanes.pop().unwrap(), lanes.pop().unwrap());
        let player = |(mut poll, bell): (mio::Poll, Arc<Bell>), mut lanes: Lanes<usize>, to| {
            move || {
                let mut events = mio::Events::with_capacity(4);
                let mut last = 0;
                while last < ROUNDS {
                    bell.rest();
                    if lanes.is_empty() {
                        poll.poll(&mut events, None).unwrap();
                    }
                    bell.rise();
                    let before = last;
                    lanes.receive(|n| last = n);
                    if last > before {
                        lanes.send(to, last + 1, true);
                        lanes.ring();
                    }
                }
            }
        };
        let other = std::thread::spawn(player(b, second, 0));
        let mut first = first;
        first.send(1, 1, true);
        first.ring();
        player(a, first, 1)();
        other.join().unwrap();
    }
}
