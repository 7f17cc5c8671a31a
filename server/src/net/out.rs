//! Runs on their way out: what the kernel takes in one call, and what becomes of the rest. UDP has
//! no back pressure: what does not fit is dropped and counted, never waited for.

use std::io;
use std::sync::Once;

use sfu::SendRun;

use super::send::MESSAGES;

/// What the sockets of one thread counted themselves, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Dropped because the kernel's send buffer was full.
    pub send_blocked: u64,
    /// Refused by the kernel (no route, too large).
    pub send_failed: u64,
    /// TCP connections of media, now.
    pub wires: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.send_blocked += other.send_blocked;
        self.send_failed += other.send_failed;
        self.wires += other.wires;
    }
}

/// The send side of one socket. `kernel` below sends the first runs and says how many, or what is
/// wrong with the very first.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) counters: Counters,
    /// Whole runs may be handed over, to be cut up there.
    segmentation: bool,
    /// One run in pieces; keeps its memory.
    pieces: Vec<SendRun>,
}

/// The send buffer is full; so many runs of what was left are accounted for.
struct Blocked(usize);

impl Out {
    pub(super) fn new(segmentation: bool) -> Self {
        let pieces = Vec::with_capacity(sfu::egress::MAX_SEGMENTS);
        Self { counters: Counters::default(), segmentation, pieces }
    }

    /// Sends the runs in their order, and counts what could not be sent.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        runs: &[SendRun],
        mut kernel: impl FnMut(&[u8], &[SendRun]) -> io::Result<usize>,
    ) {
        let mut rest = runs;
        while let Some(run) = rest.first() {
            let whole = |run: &&SendRun| self.segmentation || run.segments() <= 1;
            let count = rest.iter().take(MESSAGES).take_while(whole).count();
            let done = match count {
                0 => self.one_by_one(bytes, run, &mut kernel).map(|_| 1),
                _ => match kernel(bytes, &rest[..count]) {
                    Ok(0) => Err(Blocked(0)),
                    Ok(sent) => Ok(sent),
                    Err(error) => self.refused(bytes, run, &error, &mut kernel).map(|()| 1),
                },
            };
            match done {
                Ok(done) => rest = rest.get(done..).unwrap_or_default(),
                Err(Blocked(done)) => {
                    let lost = rest.iter().skip(done).map(|run| run.segments() as u64);
                    self.counters.send_blocked += lost.sum::<u64>();
                    return;
                }
            }
        }
    }

    /// The kernel did not take this run.
    fn refused(
        &mut self,
        bytes: &[u8],
        run: &SendRun,
        error: &io::Error,
        kernel: &mut impl FnMut(&[u8], &[SendRun]) -> io::Result<usize>,
    ) -> Result<(), Blocked> {
        if is_full(error) {
            return Err(Blocked(0));
        }
        let code = error.raw_os_error();
        let as_a_whole = [libc::EIO, libc::EINVAL, libc::EMSGSIZE].map(Some).contains(&code);
        if run.segments() <= 1 || !as_a_whole {
            self.failed(run, error);
            return Ok(());
        }
        // Where the first segment, which is a full one, goes, a device or a kernel cannot cut runs
        // up; but a narrow path (EMSGSIZE) is one destination's matter.
        let sent = self.one_by_one(bytes, run, kernel)?;
        if sent && self.segmentation && code != Some(libc::EMSGSIZE) {
            self.segmentation = false;
            say_once(error);
        }
        Ok(())
    }

    /// True if the first segment went out.
    fn one_by_one(
        &mut self,
        bytes: &[u8],
        run: &SendRun,
        kernel: &mut impl FnMut(&[u8], &[SendRun]) -> io::Result<usize>,
    ) -> Result<bool, Blocked> {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.clear();
        pieces.extend(segments(run));
        let mut rest = pieces.as_slice();
        let (mut first, mut result) = (false, Ok(()));
        while let Some(piece) = rest.first() {
            let done = match kernel(bytes, rest) {
                Err(error) if !is_full(&error) => {
                    self.failed(piece, &error);
                    1
                }
                Ok(0) | Err(_) => {
                    self.counters.send_blocked += rest.len() as u64;
                    result = Err(Blocked(1));
                    break;
                }
                Ok(sent) => {
                    first |= rest.len() == pieces.len();
                    sent
                }
            };
            rest = rest.get(done..).unwrap_or_default();
        }
        self.pieces = pieces;
        result.map(|()| first)
    }

    fn failed(&mut self, run: &SendRun, error: &io::Error) {
        self.counters.send_failed += run.segments() as u64;
        tracing::debug!(%error, to = %run.path.remote, "not sent");
    }
}

/// Each datagram as a run of its own.
fn segments(run: &SendRun) -> impl Iterator<Item = SendRun> {
    let SendRun { path, segment_size, .. } = *run;
    let end = run.range.end;
    run.range.clone().step_by(segment_size.max(1)).map(move |start| {
        let range = start..end.min(start + segment_size);
        SendRun { path, segment_size: range.len(), range }
    })
}

/// ENOBUFS is what a full device queue says.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

fn say_once(error: &io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            %error,
            "a network device does not take several datagrams at a time (UDP segmentation); they \
             go out one by one, which costs several times the CPU"
        );
    });
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use sfu::Path;

    use super::*;

    /// A kernel that has room for so many datagrams, and refuses by a rule.
    struct Fake<R> {
        room: usize,
        per_call: usize,
        refuse: R,
        sent: Vec<(u16, usize, usize)>,
        calls: usize,
    }

    impl<R: Fn(&SendRun) -> Option<i32>> Fake<R> {
        fn new(refuse: R) -> Self {
            Self { room: usize::MAX, per_call: MESSAGES, refuse, sent: Vec::new(), calls: 0 }
        }

        fn take(&mut self, runs: &[SendRun]) -> io::Result<usize> {
            self.calls += 1;
            let before = self.sent.len();
            for run in runs.iter().take(self.per_call) {
                let refused = match (self.refuse)(run) {
                    None if run.segments() > self.room => Some(libc::EAGAIN),
                    refused => refused,
                };
                match refused {
                    Some(code) if self.sent.len() == before => {
                        return Err(io::Error::from_raw_os_error(code));
                    }
                    Some(_) => break,
                    None => {}
                }
                self.room -= run.segments();
                self.sent.push((run.path.remote.port(), run.range.start, run.segments()));
            }
            Ok(self.sent.len() - before)
        }
    }

    /// Runs of 100-byte datagrams, `segments` each, to ports 1, 2, 3 …
    fn runs(segments: &[usize]) -> Vec<SendRun> {
        let (mut at, mut out) = (0, Vec::new());
        for (port, segments) in (1..).zip(segments) {
            let range = at..at + 100 * segments;
            at = range.end;
            let [local, remote] = [0, port].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            out.push(SendRun { path: Path::udp(local, remote), segment_size: 100, range });
        }
        out
    }

    fn send<R: Fn(&SendRun) -> Option<i32>>(out: &mut Out, fake: &mut Fake<R>, runs: &[SendRun]) {
        out.send(&[], runs, |_, runs| fake.take(runs));
    }

    fn counted(send_blocked: u64, send_failed: u64) -> Counters {
        Counters { send_blocked, send_failed, ..Counters::default() }
    }

    #[test]
    fn many_runs_go_in_few_calls_and_what_is_left_of_one_goes_in_the_next() {
        let mut out = Out::new(true);
        let mut fake = Fake::new(|_| None);
        send(&mut out, &mut fake, &runs(&[2; 130]));
        assert_eq!((fake.calls, fake.sent.len()), (3, 130));
        let mut slow = Fake { per_call: 50, ..Fake::new(|_| None) };
        send(&mut out, &mut slow, &runs(&[2; 130]));
        let ports: Vec<u16> = slow.sent.iter().map(|sent| sent.0).collect();
        assert_eq!((slow.calls, ports), (3, (1..=130).collect()));
        assert_eq!(out.counters, counted(0, 0));
    }

    #[test]
    fn a_full_buffer_costs_what_is_left_of_the_call_and_no_more_calls() {
        let mut out = Out::new(true);
        let mut fake = Fake { room: 5, ..Fake::new(|_| None) };
        send(&mut out, &mut fake, &runs(&[3, 2, 4, 1]));
        assert_eq!((fake.calls, fake.sent.len()), (2, 2));
        assert_eq!(out.counters, counted(5, 0));
        let mut nobufs = Fake::new(|_| Some(libc::ENOBUFS));
        send(&mut out, &mut nobufs, &runs(&[3, 2]));
        assert_eq!((nobufs.calls, out.counters), (1, counted(10, 0)));
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_does_not_stop_the_others() {
        let mut out = Out::new(true);
        let unreachable =
            |run: &SendRun| (run.path.remote.port() == 2).then_some(libc::ENETUNREACH);
        let mut fake = Fake::new(unreachable);
        send(&mut out, &mut fake, &runs(&[3, 2, 4]));
        assert_eq!(fake.sent, [(1, 0, 3), (3, 500, 4)]);
        assert_eq!(out.counters, counted(0, 2));
    }

    #[test]
    fn a_device_without_segmentation_is_asked_once() {
        let mut out = Out::new(true);
        let mut fake = Fake::new(|run: &SendRun| (run.segments() > 1).then_some(libc::EIO));
        send(&mut out, &mut fake, &runs(&[1, 3, 2]));
        let all = [(1, 0, 1), (2, 100, 1), (2, 200, 1), (2, 300, 1), (3, 400, 1), (3, 500, 1)];
        assert_eq!((&fake.sent[..], fake.calls), (&all[..], 4));
        fake.sent.clear();
        send(&mut out, &mut fake, &runs(&[1, 3, 2]));
        assert_eq!((&fake.sent[..], fake.calls), (&all[..], 7));
        assert_eq!(out.counters, counted(0, 0));
    }

    #[test]
    fn segments_that_are_too_large_are_no_reason_to_give_up_runs() {
        let mut out = Out::new(true);
        let narrow = |run: &SendRun| (run.path.remote.port() == 1).then_some(libc::EMSGSIZE);
        let mut fake = Fake::new(narrow);
        send(&mut out, &mut fake, &runs(&[3, 2]));
        send(&mut out, &mut fake, &runs(&[3, 2]));
        assert_eq!(fake.sent, [(2, 300, 2), (2, 300, 2)]);
        assert_eq!(out.counters, counted(0, 6));
    }

    #[test]
    fn a_buffer_that_fills_up_half_way_through_a_run_counts_the_other_half() {
        let mut out = Out::new(false);
        let mut fake = Fake { room: 4, ..Fake::new(|_| None) };
        send(&mut out, &mut fake, &runs(&[3, 3, 2]));
        assert_eq!(fake.sent.len(), 4);
        assert_eq!(out.counters, counted(4, 0));
    }
}
