//! Which bridges are wanted, by whom, and for how long: what a publisher sends and somebody cannot take
//! is made into something that it can, once for all who need it. Decisions only: who decodes and encodes
//! is told by commands, and tells what became of it by events.

use std::fmt;
use std::time::{Duration, Instant};

use media::{Codec, Kind};
use signaling::SessionId;

use crate::event::Command;

/// A bridge goes on for so long after the last one who needed it: who reloads a page needs it again.
pub const LINGER: Duration = Duration::from_secs(5);

/// One that has failed is tried again after so long, if somebody still needs it, and each time in a row after
/// twice as long, up to [`AGAIN_MOST`]: what makes it fail is seldom over within seconds.
pub const AGAIN: Duration = Duration::from_secs(60);

/// See [`AGAIN`].
pub const AGAIN_MOST: Duration = Duration::from_secs(16 * 60);

/// Somebody who takes media, and what.
#[derive(Clone, Copy, Debug)]
pub struct Consumer<'a> {
    /// The codecs that it can take, audio and video. A kind of which there is none it does not want.
    pub codecs: &'a [Codec],
    /// What it takes them by.
    pub by: By,
}

/// What media is taken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// WebRTC, which shows pictures in the order in which they come.
    Rtp,
    /// RTMP.
    Rtmp,
    /// Files (HLS): an audience of any size counts once.
    Files,
}

/// What an audience that takes files wants: whatever its players may show, as it is; and all sound also as AAC, for
/// those (Apple's) that take no Opus.
pub const AUDIENCE: [Consumer<'static>; 2] = [
    Consumer {
        codecs: &[Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Opus, Codec::Aac],
        by: By::Files,
    },
    Consumer { codecs: &[Codec::Aac], by: By::Files },
];

/// What a publisher sends, of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it is in.
    pub codec: Codec,
    /// Its pictures come in another order than they are shown in: it has B-frames.
    pub reorders: bool,
}

/// What has become of a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It was asked for.
    #[default]
    Starting,
    /// Media comes out of it.
    Running,
    /// It is given up.
    Failed,
}

impl State {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Failed => "failed",
        }
    }
}

/// Who needs a bridge. `Display` says it in plain words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// So many viewers by WebRTC do.
    pub viewers: usize,
    /// So many players by RTMP do.
    pub players: usize,
    /// An audience that takes files does.
    pub audience: bool,
    /// The viewers know the codec, but it has B-frames.
    pub reorders: bool,
}

/// One bridge, running or about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Of whose media.
    pub publisher: SessionId,
    /// What comes in.
    pub from: Codec,
    /// What goes out.
    pub to: Codec,
    /// Who needs it, or needed it last.
    pub why: Why,
    /// What has become of it.
    pub state: State,
    /// Nobody needs it any more: it ends then.
    pub until: Option<Instant>,
    /// It has failed, and is tried again then, if it is needed.
    pub again: Option<Instant>,
    /// It has failed and was not seen running since: nobody is to count on it.
    doubted: bool,
    /// Failures in a row.
    failures: u32,
    /// Since when it runs.
    ran: Option<Instant>,
}

/// The bridges of one stream.
#[derive(Debug, Default)]
pub struct Bridges {
    /// There is somebody who can decode and encode.
    possible: bool,
    all: Vec<Bridge>,
}

/// What `consumer` needs made of what is sent; `None`: nothing, or nothing helps.
pub fn needs(consumer: &Consumer<'_>, sent: Sent) -> Option<Codec> {
    let takes = |codec: &Codec| consumer.codecs.contains(codec);
    if takes(&sent.codec) && !(consumer.by == By::Rtp && sent.reorders) {
        return None;
    }
    let choices: &[Codec] = match sent.codec.kind() {
        Kind::Audio => &[Codec::Opus, Codec::Aac],
        Kind::Video => &[Codec::H264, Codec::Vp8],
    };
    choices.iter().copied().find(takes)
}

impl Bridges {
    /// None yet. `possible`: whether there may be any.
    pub fn new(possible: bool) -> Self {
        Self { possible, all: Vec::new() }
    }

    /// All that run, are about to, or have failed while somebody needs them.
    pub fn all(&self) -> &[Bridge] {
        &self.all
    }

    /// True if what is sent suits `consumer`, or a bridge makes it so.
    pub fn serves(&self, publisher: SessionId, sent: Sent, consumer: &Consumer<'_>) -> bool {
        if consumer.codecs.contains(&sent.codec) {
            // With B-frames it jumps where there is no bridge, but it is seen.
            return true;
        }
        let failed = |to| self.find(publisher, sent.codec, to).is_some_and(Bridge::has_failed);
        self.possible && needs(consumer, sent).is_some_and(|to| !failed(to))
    }

    /// One was said to be in this state; true if it is known, could be counted on, and has failed just now.
    pub fn is(
        &mut self,
        now: Instant,
        publisher: SessionId,
        (from, to): (Codec, Codec),
        state: State,
    ) -> bool {
        let known = |b: &&mut Bridge| b.is(publisher, from, to);
        self.all.iter_mut().find(known).is_some_and(|bridge| bridge.becomes(now, state))
    }

    /// Begins those that are needed now, and ends those that have not been for long enough, or whose
    /// publisher does not send what they need any more. `active`: who is watched and what it sends;
    /// `sends`: what any publisher sends.
    pub fn settle<'c>(
        &mut self,
        now: Instant,
        active: Option<(SessionId, [Option<Sent>; 2])>,
        sends: impl Fn(SessionId, Kind) -> Option<Codec>,
        consumers: impl Iterator<Item = Consumer<'c>>,
        out: &mut Vec<Command>,
    ) {
        if !self.possible {
            return;
        }
        let wanted = wanted(active, consumers);
        for bridge in &mut self.all {
            let same = |w: &&Bridge| w.is(bridge.publisher, bridge.from, bridge.to);
            match wanted.iter().find(same) {
                Some(wanted) => (bridge.why, bridge.until) = (wanted.why, None),
                None => drop(bridge.until.get_or_insert(now + LINGER)),
            }
        }
        self.all.retain(|bridge| {
            let Bridge { publisher, from, to, until, .. } = *bridge;
            let over = until.is_some_and(|until| until <= now);
            let stays = !over && sends(publisher, from.kind()) == Some(from);
            if !stays {
                out.push(Command::Unbridge { publisher, from, to });
            }
            stays
        });
        for bridge in wanted {
            let Bridge { publisher, from, to, why, .. } = bridge;
            let known = self.all.iter_mut().find(|known| known.is(publisher, from, to));
            match known {
                Some(known) if known.again.is_some_and(|again| again <= now) => {
                    (known.state, known.again) = (State::Starting, None);
                }
                Some(_) => continue,
                None => self.all.push(bridge),
            }
            out.push(Command::Bridge { publisher, from, to, why });
        }
    }

    /// When [`Bridges::settle`] has something to do next without anything happening.
    pub fn deadline(&self) -> Option<Instant> {
        // While nobody needs it, it is not tried.
        self.all.iter().filter_map(|bridge| bridge.until.or(bridge.again)).min()
    }

    fn find(&self, publisher: SessionId, from: Codec, to: Codec) -> Option<&Bridge> {
        self.all.iter().find(|bridge| bridge.is(publisher, from, to))
    }
}

/// What is needed now, each once.
fn wanted<'c>(
    active: Option<(SessionId, [Option<Sent>; 2])>,
    consumers: impl Iterator<Item = Consumer<'c>>,
) -> Vec<Bridge> {
    let mut wanted: Vec<Bridge> = Vec::new();
    let Some((publisher, sends)) = active else { return wanted };
    for consumer in consumers {
        for sent in sends.into_iter().flatten() {
            let (from, Some(to)) = (sent.codec, needs(&consumer, sent)) else { continue };
            let known = wanted.iter().position(|bridge| bridge.is(publisher, from, to));
            let index = known.unwrap_or_else(|| {
                wanted.push(Bridge::new(publisher, from, to));
                wanted.len() - 1
            });
            let why = &mut wanted[index].why;
            match consumer.by {
                By::Rtp => why.viewers += 1,
                By::Rtmp => why.players += 1,
                By::Files => why.audience = true,
            }
            why.reorders |= consumer.by == By::Rtp && consumer.codecs.contains(&from);
        }
    }
    wanted
}

impl Bridge {
    fn new(publisher: SessionId, from: Codec, to: Codec) -> Self {
        let (why, state) = (Why::default(), State::default());
        let (until, again, ran) = (None, None, None);
        Self { publisher, from, to, why, state, until, again, doubted: false, failures: 0, ran }
    }

    /// It is given up, and if it is tried again it does not run yet.
    pub fn has_failed(&self) -> bool {
        self.doubted
    }

    /// True if it could be counted on until now.
    fn becomes(&mut self, now: Instant, state: State) -> bool {
        if std::mem::replace(&mut self.state, state) == state {
            return false;
        }
        self.again = None;
        match state {
            State::Starting => false,
            State::Running => {
                self.ran = Some(now);
                self.doubted = false;
                false
            }
            State::Failed => {
                let since = self.ran.take().map(|ran| now.saturating_duration_since(ran));
                if since.is_some_and(|since| since >= AGAIN) {
                    self.failures = 0;
                }
                let wait = AGAIN.saturating_mul(1 << self.failures.min(8)).min(AGAIN_MOST);
                self.failures += 1;
                self.again = Some(now + wait);
                !std::mem::replace(&mut self.doubted, true)
            }
        }
    }

    fn is(&self, publisher: SessionId, from: Codec, to: Codec) -> bool {
        (self.publisher, self.from, self.to) == (publisher, from, to)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.viewers > 0, "whep viewers"),
            (self.players > 0, "rtmp players"),
            (self.audience, "hls audience"),
            (self.reorders, "b-frames"),
        ];
        let mut said = parts.into_iter().filter(|(is, _)| *is).map(|(_, text)| text);
        f.write_str(said.next().unwrap_or("nobody"))?;
        said.try_for_each(|text| write!(f, ", {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_of_what_is_sent() {
        use Codec::{Aac, Av1, H264, H265, Opus, Vp8, Vp9};
        let chromium: &[Codec] = &[Opus, H264, Vp8, Vp9, Av1];
        let firefox: &[Codec] = &[Opus, Vp8, Vp9];
        let safari: &[Codec] = &[Opus, H264, H265, Vp8];
        let old_player: &[Codec] = &[H264, Aac];
        let new_player: &[Codec] = &[H264, H265, Vp9, Av1, Aac, Opus];
        let silent: &[Codec] = &[Vp8];
        let cases = [
            (chromium, true, H264, false, None),
            (chromium, true, H264, true, Some(H264)),
            (chromium, true, H265, false, Some(H264)),
            (chromium, true, Aac, false, Some(Opus)),
            (chromium, true, Opus, false, None),
            (firefox, true, H264, false, Some(Vp8)),
            (firefox, true, H264, true, Some(Vp8)),
            (firefox, true, H265, false, Some(Vp8)),
            (firefox, true, Av1, false, Some(Vp8)),
            (safari, true, H265, false, None),
            (safari, true, H265, true, Some(H264)),
            (silent, true, Aac, false, None),
            (old_player, false, Opus, false, Some(Aac)),
            (old_player, false, H264, true, None),
            (old_player, false, Vp8, false, Some(H264)),
            (new_player, false, Opus, false, None),
            (new_player, false, Vp8, false, Some(H264)),
            (&[], true, H264, true, None),
        ];
        for (codecs, rtp, codec, reorders, expected) in cases {
            let by = if rtp { By::Rtp } else { By::Rtmp };
            let (consumer, sent) = (Consumer { codecs, by }, Sent { codec, reorders });
            assert_eq!(needs(&consumer, sent), expected, "{sent:?} to {consumer:?}");
        }
    }

    #[test]
    fn an_audience_gets_pictures_as_they_are_and_all_sound_as_aac() {
        use Codec::{Aac, Av1, H264, H265, Opus, Vp8, Vp9};
        for (codec, expected) in [
            (H264, None),
            (H265, None),
            (Av1, None),
            (Vp9, None),
            (Vp8, Some(H264)),
            (Aac, None),
            (Opus, Some(Aac)),
        ] {
            let sent = Sent { codec, reorders: true };
            let made = AUDIENCE.iter().find_map(|consumer| needs(consumer, sent));
            assert_eq!(made, expected, "{codec:?}");
        }
    }

    #[test]
    fn the_reason_in_words() {
        let why = |viewers, players, audience, reorders| {
            Why { viewers, players, audience, reorders }.to_string()
        };
        assert_eq!(why(2, 0, false, false), "whep viewers");
        assert_eq!(why(0, 1, false, false), "rtmp players");
        assert_eq!(why(0, 0, true, false), "hls audience");
        assert_eq!(why(1, 1, false, true), "whep viewers, rtmp players, b-frames");
    }
}
