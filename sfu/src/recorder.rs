//! The flight recorder of one session: its last decisions and why, for whoever asks afterwards what
//! went wrong. Sans-IO: the time is an argument.
//!
//! What happens once is an [`Entry`] of 32 bytes, without text: words are made when somebody reads it
//! (`decision.rs`). What happens per packet is only counted, and [`Recorder::roll`] writes sums once a
//! second, into the line of the second before where nothing else happened meanwhile. Nothing here is
//! allocated per packet; the log grows to [`KEPT`] entries and no further.

mod decision;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

pub use self::decision::{Decision, Refusal, Sum, Who, suite};
use crate::path::{Over, Path};
use crate::stats::{Drop, Drops, EncodingSnapshot, ViewerSnapshot};
use crate::transport::Failure;
use crate::transport::srtp::Profile;

/// Entries kept of one session.
pub const KEPT: usize = 200;
/// Of them, so many sums at most once the log is full: the story is worth more than its weather.
const SUMS: usize = KEPT / 2;
/// A line of sums covers at most so many seconds.
const LINE: u16 = 60;
/// Remote addresses that are known not to be new.
const ADDRESSES: usize = 8;
/// Addresses of this machine that one session has used.
const LOCALS: usize = 16;
/// Media has stopped when nothing came for so long; a still screen pauses for less.
const STOPPED: Duration = Duration::from_secs(3);
/// What anybody can send who knows a user name (forged checks, connections by TCP) is told so often, and then only counted.
const FORGED: u32 = 8;
/// What a viewer asks for is told of so long ago.
const LATELY: Duration = Duration::from_secs(60);
/// What of a recent share is left a second later: it speaks of the last five or ten seconds.
const FADE: f32 = 0.8;

/// An IP address and port in 18 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address {
    ip: [u8; 16],
    port: u16,
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Microseconds since the recorder began.
    at: u64,
    decision: Decision,
}

/// What has come of a session so far; unlike the log it forgets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The first authentic check.
    pub checked: Option<Instant>,
    /// Checks whose integrity was wrong.
    pub forged: u32,
    /// Checks under the peer's name that were for another session, or for one that is over.
    pub strange: u32,
    /// The peer has chosen a way (USE-CANDIDATE).
    pub nominated: Option<Instant>,
    /// ICE restarts, and no check with the new credentials has come yet.
    pub restart: Option<Instant>,
    /// Connections by TCP for it that were not taken, and why the last of them was not.
    pub turned_away: u32,
    /// See `turned_away`.
    pub refusal: Option<Refusal>,
    /// Where the session's datagrams come from and to.
    pub path: Option<Path>,
    /// DTLS began.
    pub dtls: Option<Instant>,
    /// The peer has said something in DTLS.
    pub answered: bool,
    /// DTLS is up.
    pub up: Option<Instant>,
    /// What SRTP is done with, where that is known.
    pub profile: Option<Profile>,
    /// Why there will be no keys.
    pub failure: Option<Failure>,
    /// Keyframes that a viewer has asked for, or that a publisher was asked for.
    pub wishes: u64,
    /// The last backlog that was given up, and what the link carries, in kbit/s.
    pub gave_up: Option<(Instant, Option<u32>)>,
    /// Of a publisher: packets that never came. Of a viewer: packets it asked for again.
    pub lost: Share,
}

/// A share of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    part: f32,
    all: f32,
}

impl Share {
    /// 0 to 1; `None` while there is too little to tell.
    pub fn get(self) -> Option<f32> {
        (self.all >= 20.0).then(|| (self.part / self.all).min(1.0))
    }

    fn add(&mut self, part: u64, all: u64) {
        self.part = self.part * FADE + part as f32;
        self.all = self.all * FADE + all as f32;
    }
}

/// What a viewer has asked for lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asks {
    /// How often for a keyframe, by the lines of the log that began within the last minute.
    pub keyframes: u32,
    /// From the beginning of the first of these lines to the end of the last.
    pub within: Duration,
    /// Since the end of the last.
    pub ago: Duration,
    /// The share of packets that it asked for again; `None` while there is too little to tell.
    pub again: Option<f32>,
}

/// See the top of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorder {
    began: Instant,
    /// The sums of before are written.
    rolled: Instant,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// How many of them are sums.
    sums: usize,
    addresses: VecDeque<SocketAddr>,
    locals: Vec<SocketAddr>,
    facts: Facts,
    /// It was told that media has stopped.
    stopped: bool,
    /// What was not taken or not forwarded since the last roll.
    pub drops: Drops,
    /// What else was counted since then.
    counts: Counts,
    /// Sums since the beginning, as they were at the last roll: lost and all.
    before: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    plis: u32,
    nacked: u32,
    repaired: u32,
}

/// What a session has come to, now or at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What happened.
    pub recorder: Recorder,
    /// The last authentic datagram; `None` before the first.
    pub heard: Option<Instant>,
    /// The last media packet of a publisher.
    pub media: Option<Instant>,
    /// What a publisher sends.
    pub encodings: Vec<EncodingSnapshot>,
    /// What a viewer gets.
    pub viewer: Option<ViewerSnapshot>,
}

impl Report {
    /// Of a session that nobody has heard of yet.
    pub(crate) fn of_nobody(recorder: Recorder) -> Self {
        Self { recorder, heard: None, media: None, encodings: Vec::new(), viewer: None }
    }
}

impl Recorder {
    /// An empty one. Nothing is allocated before the first entry.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            rolled: now,
            entries: VecDeque::new(),
            sums: 0,
            addresses: VecDeque::new(),
            locals: Vec::new(),
            facts: Facts::default(),
            stopped: false,
            drops: Drops::default(),
            counts: Counts::default(),
            before: (0, 0),
        }
    }

    /// What has come of the session.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Every entry, in the order of time.
    pub fn entries(&self) -> Vec<(Instant, Decision)> {
        let time = |e: &Entry| self.began + Duration::from_micros(e.at);
        let mut all: Vec<_> = self.entries.iter().map(|e| (time(e), e.decision)).collect();
        // Sums stand where their time began, and were written when it was over.
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// Of a viewer: what it has asked for lately.
    pub fn asks(&self, now: Instant) -> Asks {
        let mut asks = Asks { again: self.facts.lost.get(), ..Asks::default() };
        let mut first = None;
        for entry in &self.entries {
            let Decision::Sum { what: Sum::Keyframes, count, seconds, .. } = entry.decision else {
                continue;
            };
            let at = self.began + Duration::from_micros(entry.at);
            if now.saturating_duration_since(at) > LATELY {
                continue;
            }
            let (first, end) = (*first.get_or_insert(at), at + Duration::from_secs(seconds.into()));
            asks.keyframes = asks.keyframes.saturating_add(count);
            asks.within = end.saturating_duration_since(first);
            asks.ago = now.saturating_duration_since(end);
        }
        asks
    }

    /// Something has happened outside of the session's own shard. Told only so often: others can cause it.
    pub fn note(&mut self, at: Instant, decision: Decision) {
        let count = match decision {
            Decision::Strange { .. } => &mut self.facts.strange,
            Decision::TurnedAway { why, .. } => {
                self.facts.refusal = Some(why);
                &mut self.facts.turned_away
            }
            _ => return self.record(at, decision),
        };
        *count = count.saturating_add(1);
        if *count <= FORGED {
            self.push(at, decision);
        }
    }

    /// Where ICE stands after a check from `source`: whether the peer has chosen a way, and whether it has checked with
    /// our newest credentials. Told once, and once for each restart.
    pub fn stands(&mut self, now: Instant, source: SocketAddr, (nominated, renewed): (bool, bool)) {
        if renewed && let Some(at) = self.facts.restart.take() {
            self.push(now, Decision::Restarted { after_ms: millis(at, now) });
        }
        if nominated && self.facts.nominated.is_none() {
            self.facts.nominated = Some(now);
            self.push(now, Decision::Nominated { from: source.into() });
        }
    }

    /// The peer was given new credentials of ours.
    pub fn restarts(&mut self, now: Instant) {
        self.facts.restart = Some(now);
    }

    /// Something was decided, or has happened that decides something.
    pub fn record(&mut self, now: Instant, decision: Decision) {
        if let Decision::GaveUp { capacity_kbps, .. } = decision {
            self.facts.gave_up = Some((now, capacity_kbps));
        }
        self.push(now, decision);
    }

    /// A STUN check from `source`, authentic or not.
    pub fn check(&mut self, now: Instant, source: SocketAddr, authentic: bool) {
        if !authentic {
            self.facts.forged = self.facts.forged.saturating_add(1);
            if self.facts.forged <= FORGED {
                self.push(now, Decision::Forged { from: source.into() });
            }
            return;
        }
        let first = self.facts.checked.is_none();
        self.facts.checked.get_or_insert(now);
        if self.addresses.contains(&source) {
            return;
        }
        if self.addresses.len() == ADDRESSES {
            self.addresses.pop_front();
        }
        self.addresses.push_back(source);
        self.push(now, Decision::Check { from: source.into(), first });
    }

    /// The session's datagrams go this way now.
    pub fn path(&mut self, now: Instant, path: Path) {
        if self.facts.path == Some(path) {
            return;
        }
        let first = self.facts.path.replace(path).is_none();
        let local = match self.locals.iter().position(|known| *known == path.local) {
            Some(known) => known,
            None if self.locals.len() < LOCALS => {
                self.locals.push(path.local);
                self.locals.len() - 1
            }
            None => LOCALS,
        };
        let (remote, tcp) = (path.remote.into(), path.over != Over::Udp);
        self.push(now, Decision::Pair { local: local as u8, remote, first, tcp });
    }

    /// DTLS begins, by us or by what the peer sends; told once.
    pub fn dtls_begins(&mut self, now: Instant, ours: bool) {
        self.facts.answered |= !ours;
        if self.facts.dtls.is_none() {
            self.facts.dtls = Some(now);
            self.push(now, Decision::DtlsBegun { ours });
        }
    }

    /// DTLS is up.
    pub fn dtls_up(&mut self, now: Instant, profile: Option<Profile>) {
        let begun = self.facts.dtls.unwrap_or(now);
        (self.facts.up, self.facts.profile) = (Some(now), profile);
        self.push(now, Decision::DtlsUp { profile, after_ms: millis(begun, now) });
    }

    /// There will be no keys; told once.
    pub fn dtls_failed(&mut self, now: Instant, failure: Failure) {
        if self.facts.failure.replace(failure).is_none() {
            self.push(now, Decision::DtlsFailed(failure));
        }
    }

    /// The last media packet of a publisher came at `last`: told when it stops and goes on.
    pub fn media(&mut self, now: Instant, last: Option<Instant>) {
        let Some(last) = last else { return };
        let stopped = now.saturating_duration_since(last) > STOPPED;
        if self.stopped != stopped {
            let decision = if stopped { Decision::Stopped } else { Decision::Resumed };
            self.push(if stopped { now } else { last }, decision);
        }
        self.stopped = stopped;
    }

    /// Nothing is heard of a publisher.
    pub fn silent(&mut self, now: Instant) {
        self.stopped = true;
        self.push(now, Decision::Unheard);
    }

    /// A keyframe was asked for.
    pub fn keyframe_wanted(&mut self) {
        self.facts.wishes += 1;
        self.counts.plis += 1;
    }

    /// A viewer asked for lost packets again.
    pub fn repaired(&mut self, asked: u64, repaired: u64) {
        self.counts.nacked = self.counts.nacked.saturating_add(asked as u32);
        self.counts.repaired = self.counts.repaired.saturating_add(repaired as u32);
    }

    /// Writes what was counted since the last call, which was about a second ago, and gives what was
    /// dropped since then. `lost` of `all` packets never came, since the beginning; of a viewer `all`
    /// went out.
    pub fn roll(&mut self, now: Instant, who: Who, lost: u64, all: u64) -> Drops {
        let Counts { plis, nacked, repaired } = std::mem::take(&mut self.counts);
        let (lost_before, all_before) = std::mem::replace(&mut self.before, (lost, all));
        // A late packet takes a loss back.
        let lost = lost.saturating_sub(lost_before);
        let all = all.saturating_sub(all_before);
        match who {
            Who::Publisher => {
                self.facts.lost.add(lost, all + lost);
                self.sum(Sum::LostIn, lost, all + lost);
            }
            Who::Viewer => {
                self.facts.lost.add(u64::from(nacked), all);
                self.sum(Sum::Nacks, u64::from(nacked), u64::from(repaired));
            }
        }
        self.sum(Sum::Keyframes, u64::from(plis), 0);
        let drops = std::mem::take(&mut self.drops);
        for reason in Drop::ALL {
            // Those are no news: a line of the log says which encoding is shown, or that none can be.
            if !matches!(reason, Drop::NotSelected | Drop::NoCommonCodec) {
                self.sum(Sum::Dropped(reason), drops.get(reason), 0);
            }
        }
        self.rolled = now;
        drops
    }

    /// A sum of the time since the last roll: a line of its own, or more in one that goes on.
    fn sum(&mut self, what: Sum, count: u64, of: u64) {
        if count == 0 {
            return;
        }
        let (count, of) = (narrow(count), narrow(of));
        let now = self.micros(self.rolled);
        for entry in self.entries.iter_mut().rev() {
            let Decision::Sum { what: known, count: sum, of: more, seconds } = &mut entry.decision
            else {
                break;
            };
            // Timers are a little late or early.
            let age = (now.saturating_sub(entry.at) + 500_000) / 1_000_000;
            if *known == what && age < u64::from(LINE) {
                (*sum, *more) = (sum.saturating_add(count), more.saturating_add(of));
                *seconds = age as u16 + 1;
                return;
            }
        }
        self.push(self.rolled, Decision::Sum { what, count, of, seconds: 1 });
    }

    fn push(&mut self, at: Instant, decision: Decision) {
        if self.entries.len() == KEPT {
            let spare = self.sums > SUMS;
            let oldest = self.entries.iter().position(|e| spare == e.decision.is_sum());
            // There is one of each kind: half of the log, or more than that.
            let gone = oldest.and_then(|oldest| self.entries.remove(oldest));
            self.sums -= usize::from(gone.is_some_and(|e| e.decision.is_sum()));
        }
        self.sums += usize::from(decision.is_sum());
        self.entries.push_back(Entry { at: self.micros(at), decision });
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_micros() as u64
    }

    /// In plain words; `None` where the session is over and the words need what is gone.
    pub fn text(&self, who: Who, decision: Decision) -> String {
        let local = match decision {
            Decision::Pair { local, .. } => self.locals.get(usize::from(local)).copied(),
            _ => None,
        };
        decision.text(who, local)
    }
}

/// From `then` to `now`.
pub(crate) fn millis(then: Instant, now: Instant) -> u32 {
    u32::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(u32::MAX)
}

/// Into what a line of the log has room for.
pub(crate) fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ip = Ipv6Addr::from(self.ip).to_canonical();
        std::fmt::Display::fmt(&SocketAddr::new(ip, self.port), f)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
