//! What can stand in a session's log, and how a person would say it.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use media::{Codec, EncodingId};

use super::Address;
use crate::stats::Drop;
use crate::transport::Failure;
use crate::transport::srtp::Profile;
use crate::viewer::selector::{Reason, Wanted};

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Sends.
    Publisher,
    /// Receives.
    Viewer,
}

/// What happened or was decided; 24 bytes. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// An authentic STUN check from an address that is new.
    Check {
        /// Where from.
        from: Address,
        /// The first of all.
        first: bool,
    },
    /// A check that was not made with this session's password.
    Forged {
        /// Where from.
        from: Address,
    },
    /// A check that this peer made for another session of ours, or for one that is over.
    Strange {
        /// Where from.
        from: Address,
    },
    /// The peer has chosen a way (USE-CANDIDATE) for the first time.
    Nominated {
        /// Where from.
        from: Address,
    },
    /// The first check with the credentials of an ICE restart.
    Restarted {
        /// Since the restart was answered.
        after_ms: u32,
    },
    /// A connection by TCP for this session was closed.
    TurnedAway {
        /// Where from.
        from: Address,
        /// Why.
        why: Refusal,
    },
    /// The addresses between which the session's datagrams go from now on.
    Pair {
        /// Which of the addresses of ours that it has used.
        local: u8,
        /// The peer's.
        remote: Address,
        /// There was none before.
        first: bool,
        /// By a TCP connection.
        tcp: bool,
    },
    /// The DTLS handshake begins.
    DtlsBegun {
        /// We said the first word.
        ours: bool,
    },
    /// Keys are there.
    DtlsUp {
        /// What SRTP is done with, where that is known.
        profile: Option<Profile>,
        /// Since it began.
        after_ms: u32,
    },
    /// There will be no keys.
    DtlsFailed(Failure),
    /// The first packet of an encoding.
    Encoding {
        /// Its name.
        id: EncodingId,
        /// What it is in.
        codec: Codec,
        /// What it comes under.
        ssrc: u32,
    },
    /// The publisher's packets are made in this server.
    Local,
    /// The first packet of an encoding that this server makes of another one, in this codec.
    Bridged {
        /// Its name.
        id: EncodingId,
        /// What it is in.
        codec: Codec,
    },
    /// There is no such encoding any more.
    Unbridged(EncodingId),
    /// An encoding comes under another SSRC now.
    Source {
        /// Which.
        id: EncodingId,
        /// The new one.
        ssrc: u32,
    },
    /// An encoding comes in another codec, or another payload type, now.
    Codec {
        /// Which.
        id: EncodingId,
        /// The new one.
        codec: Codec,
    },
    /// A keyframe: the first, or the first of another size. Pixels; 0 where it does not say.
    Picture {
        /// Of which encoding.
        id: EncodingId,
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
    },
    /// An encoding has fallen silent while its siblings go on.
    Silent(EncodingId),
    /// It sends again.
    Back(EncodingId),
    /// No media has come for some seconds.
    Stopped,
    /// Media comes again.
    Resumed,
    /// Nothing at all is heard of the publisher.
    Unheard,
    /// The viewer watches this publisher, by the short form of its session.
    Attached(u32),
    /// There is nobody to watch any more.
    Detached,
    /// The viewer chose an encoding; `None`: the highest.
    Wish(Wanted),
    /// An encoding was selected for the viewer.
    Layer {
        /// Which.
        id: EncodingId,
        /// Why.
        reason: Reason,
    },
    /// The viewer has no payload type for what the publisher sends.
    NoCodec(Codec),
    /// Sound begins.
    Sound,
    /// The picture is of this encoding from now on.
    Switched {
        /// Which.
        id: EncodingId,
        /// Since it was selected.
        after_ms: u32,
        /// It begins with a keyframe of the ring, not with a new one.
        ring: bool,
    },
    /// The viewer begins with a backlog.
    CatchUp {
        /// From the keyframe to now.
        bytes: u32,
        /// Of the encoding.
        kbps: u32,
    },
    /// The viewer is live.
    CaughtUp {
        /// Since it began.
        after_ms: u32,
    },
    /// A new keyframe came first: live with that.
    Overtaken {
        /// Since it began.
        after_ms: u32,
    },
    /// The link is too thin for the backlog; the keyframe stands as a still.
    GaveUp {
        /// Since it began.
        after_ms: u32,
        /// What the link carries, where that was measured.
        capacity_kbps: Option<u32>,
    },
    /// The first picture is sent again.
    Restart {
        /// The viewer's feedback says that it never came; else it has asked for a keyframe so soon.
        lost: bool,
    },
    /// What was counted over some seconds.
    Sum {
        /// Of what.
        what: Sum,
        /// How many.
        count: u32,
        /// Of how many, or how many of them.
        of: u32,
        /// From the entry's time on.
        seconds: u16,
    },
}

/// Why a connection by TCP is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many are here as may be.
    Full,
    /// As many are here as may be from one address.
    Crowded,
}

/// What is counted and not told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Keyframes that a viewer asked for, or that a publisher was asked for.
    Keyframes,
    /// Packets that a viewer asked for again, and of them those sent again.
    Nacks,
    /// Packets of a publisher that never came, of all.
    LostIn,
    /// Not taken or not forwarded.
    Dropped(Drop),
}

impl Decision {
    pub(super) fn is_sum(&self) -> bool {
        matches!(self, Self::Sum { .. })
    }

    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Check { .. } => "stun_check",
            Self::Forged { .. } => "stun_not_authentic",
            Self::Strange { .. } => "stun_for_another",
            Self::Nominated { .. } => "nominated",
            Self::Restarted { .. } => "ice_restarted",
            Self::TurnedAway { .. } => "tcp_refused",
            Self::Pair { .. } => "candidate_pair",
            Self::DtlsBegun { .. } => "dtls_begun",
            Self::DtlsUp { .. } => "dtls_up",
            Self::DtlsFailed(_) => "dtls_failed",
            Self::Encoding { .. } => "encoding",
            Self::Local => "local",
            Self::Bridged { .. } => "bridged",
            Self::Unbridged(_) => "bridge_ended",
            Self::Source { .. } => "ssrc_changed",
            Self::Codec { .. } => "codec_changed",
            Self::Picture { .. } => "keyframe",
            Self::Silent(_) => "encoding_silent",
            Self::Back(_) => "encoding_back",
            Self::Stopped => "media_stopped",
            Self::Resumed => "media_resumed",
            Self::Unheard => "silent",
            Self::Attached(_) => "attached",
            Self::Detached => "detached",
            Self::Wish(_) => "layer_wanted",
            Self::Layer { .. } => "layer_selected",
            Self::NoCodec(_) => "no_common_codec",
            Self::Sound => "sound",
            Self::Switched { .. } => "layer_shown",
            Self::CatchUp { .. } => "catch_up",
            Self::CaughtUp { .. } => "caught_up",
            Self::Overtaken { .. } => "catch_up_overtaken",
            Self::GaveUp { .. } => "catch_up_given_up",
            Self::Restart { .. } => "began_anew",
            Self::Sum { what: Sum::Keyframes, .. } => "keyframes_wanted",
            Self::Sum { what: Sum::Nacks, .. } => "repairs",
            Self::Sum { what: Sum::LostIn, .. } => "lost",
            Self::Sum { what: Sum::Dropped(_), .. } => "dropped",
        }
    }

    /// As a person would say it. `local`: the address that [`Decision::Pair`] means.
    pub fn text(self, who: Who, local: Option<SocketAddr>) -> String {
        match self {
            Self::Check { .. }
            | Self::Forged { .. }
            | Self::Strange { .. }
            | Self::Nominated { .. }
            | Self::Restarted { .. }
            | Self::TurnedAway { .. }
            | Self::Pair { .. } => self.way(who, local),
            Self::DtlsBegun { .. } | Self::DtlsUp { .. } | Self::DtlsFailed(_) => self.dtls(who),
            Self::Sum { what, count, of, seconds } => sum(who, what, (count, of), seconds),
            Self::CatchUp { .. }
            | Self::CaughtUp { .. }
            | Self::Overtaken { .. }
            | Self::GaveUp { .. }
            | Self::Restart { .. } => self.backlog(),
            _ => self.media(),
        }
    }

    /// STUN and ICE.
    fn way(self, who: Who, local: Option<SocketAddr>) -> String {
        match self {
            Self::Check { from, first: true } => {
                format!("the {who}'s first STUN check came from {from}")
            }
            Self::Check { from, .. } => format!("the {who} sends STUN checks from {from} too"),
            Self::Forged { from } => format!(
                "a STUN check from {from} was not made with this session's password: ignored"
            ),
            Self::Strange { from } => format!(
                "a STUN check of the {who} from {from} was for another session, or one that is over: ignored"
            ),
            Self::Nominated { from } => format!("the {who} chose the way from {from}"),
            Self::Restarted { after_ms } => {
                format!("the ICE restart got through: its first check came after {after_ms} ms")
            }
            Self::TurnedAway { from, why } => {
                let too_many = match why {
                    Refusal::Full => "as many are here as may be",
                    Refusal::Crowded => "as many are here as may be from one address",
                };
                format!("a TCP connection from {from} was not taken: {too_many}")
            }
            Self::Pair { remote, first, tcp, .. } => {
                let local = local.map_or_else(|| "this server".to_owned(), |l| l.to_string());
                let verb = if first { "goes" } else { "moved: it goes" };
                let by = if tcp { " by TCP" } else { "" };
                format!("the connection {verb} between {local} and {remote}{by}")
            }
            _ => String::new(),
        }
    }

    fn dtls(self, who: Who) -> String {
        match self {
            Self::DtlsBegun { ours: true } => "DTLS began: we spoke first".to_owned(),
            Self::DtlsBegun { ours: false } => format!("DTLS began: the {who} spoke first"),
            Self::DtlsUp { profile: Some(profile), after_ms } => {
                format!("DTLS is up after {after_ms} ms, SRTP {}", suite(profile))
            }
            Self::DtlsUp { after_ms, .. } => format!("DTLS is up after {after_ms} ms"),
            Self::DtlsFailed(failure) => match failure {
                Failure::Fingerprint => {
                    format!("DTLS failed: the {who}'s certificate is not the one of its offer")
                }
                Failure::Handshake => "DTLS failed: the handshake broke".to_owned(),
                Failure::Timeout => {
                    format!("DTLS failed: the {who} fell silent in the middle of the handshake")
                }
                Failure::NoProfile => "DTLS failed: no SRTP profile in common".to_owned(),
            },
            _ => String::new(),
        }
    }

    /// What is sent, and what is watched of it.
    fn media(self) -> String {
        match self {
            Self::Encoding { id, codec, ssrc } => {
                let codec = codec.rtpmap_name();
                format!("the first packet of {id} came: {codec}, SSRC {ssrc:08x}")
            }
            Self::Local => "its media is taken apart in this server: no ICE, no DTLS".to_owned(),
            Self::Bridged { id, codec } => {
                format!("a bridge makes {id} of it, {}", codec.rtpmap_name())
            }
            Self::Unbridged(id) => format!("the bridge that made {id} has ended"),
            Self::Source { id, ssrc } => format!("{id} comes under SSRC {ssrc:08x} from now on"),
            Self::Codec { id, codec } => {
                format!("{id} comes as {} from now on", codec.rtpmap_name())
            }
            Self::Picture { id, width: 0, .. } => format!("the first keyframe of {id} came"),
            Self::Picture { id, width, height } => {
                format!("a keyframe of {id} came, {width} x {height} pixels")
            }
            Self::Silent(id) => format!("{id} has fallen silent, others go on"),
            Self::Back(id) => format!("{id} is back"),
            Self::Stopped => "no media has come for 3 s, though it is still there".to_owned(),
            Self::Resumed => "media comes again".to_owned(),
            Self::Unheard => "nothing at all is heard of it any more".to_owned(),
            Self::Attached(publisher) => format!("watches the publisher {publisher:08x}"),
            Self::Detached => "there is nobody to watch any more: waits for a publisher".to_owned(),
            Self::Wish(Wanted::Encoding(id)) => format!("the viewer asked for {id}"),
            Self::Wish(Wanted::Best) => "the viewer asked for the highest encoding".to_owned(),
            Self::Wish(Wanted::Within { width, height }) => {
                format!("the viewer asked for at most {width} x {height} pixels")
            }
            Self::Layer { id, reason } => format!(
                "{id} was selected: {}",
                match reason {
                    Reason::Wanted => "the viewer asked for it",
                    Reason::InsteadOfWanted => "what the viewer asked for is silent",
                    Reason::Highest => "it is the highest that flows",
                    Reason::Within => "it is the highest within what the viewer asked for",
                    Reason::Smallest => "none is known to be as small as the viewer asked for",
                    Reason::AllSilent => "nothing flows now",
                }
            ),
            Self::NoCodec(codec) => format!(
                "the publisher sends {}, which the viewer did not offer: nothing of it is sent",
                codec.rtpmap_name()
            ),
            Self::Sound => "sound goes out".to_owned(),
            Self::Switched { id, after_ms, ring } => {
                let with = if ring { "from the keyframe in the ring" } else { "with a keyframe" };
                format!("{id} is shown, {after_ms} ms after it was selected, {with}")
            }
            _ => String::new(),
        }
    }

    fn backlog(self) -> String {
        match self {
            Self::CatchUp { bytes, kbps } => {
                let bytes = bytes.div_ceil(1000);
                format!("catching up began: {bytes} kB behind, of {kbps} kbit/s")
            }
            Self::CaughtUp { after_ms } => format!("caught up after {after_ms} ms: live"),
            Self::Overtaken { after_ms } => format!(
                "live with a new keyframe, {after_ms} ms after catching up began and before it ended"
            ),
            Self::GaveUp { after_ms, capacity_kbps: Some(kbps) } => format!(
                "catching up was given up after {after_ms} ms: the link carries about {kbps} kbit/s"
            ),
            Self::GaveUp { after_ms, .. } => format!(
                "catching up was given up after {after_ms} ms: the link is too thin or loses too much"
            ),
            Self::Restart { lost: true } => {
                "the first picture was lost on its way: it is sent once more".to_owned()
            }
            Self::Restart { .. } => {
                "the viewer asked for a keyframe soon after it began: the first picture \
                is sent once more"
                    .to_owned()
            }
            _ => String::new(),
        }
    }
}

fn sum(who: Who, what: Sum, (count, of): (u32, u32), seconds: u16) -> String {
    let within =
        if seconds == 1 { "within a second".to_owned() } else { format!("in {seconds} s") };
    match (what, who) {
        (Sum::Keyframes, Who::Viewer) => {
            format!("the viewer asked for a keyframe {} {within}", times(count))
        }
        (Sum::Keyframes, Who::Publisher) => {
            format!("the publisher was asked for a keyframe {} {within}", times(count))
        }
        (Sum::Nacks, _) => {
            format!("the viewer asked for {} again {within}; {of} were sent", packets(count))
        }
        (Sum::LostIn, _) => {
            format!("{} of {of} never came {within}, not by retransmission either", packets(count))
        }
        (Sum::Dropped(reason), _) => {
            format!("{} dropped {within}: {}", packets(count), because(reason))
        }
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn packets(count: u32) -> String {
    if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") }
}

fn because(reason: Drop) -> &'static str {
    match reason {
        Drop::UnknownSource => "of no session",
        Drop::Malformed => "no STUN, DTLS, RTP or RTCP, or cut short",
        Drop::NotAuthentic => "not authentic",
        Drop::Transport => "no handshake needs those DTLS records",
        Drop::RtpUnusable => "RTP without media: padding, a duplicate, or not authentic",
        Drop::UnknownPayload => "a payload type that was not negotiated, or a codec that cannot be",
        Drop::NotSelected => "of another encoding",
        Drop::AwaitingKeyframe => "a keyframe is awaited",
        Drop::Settling => "the publisher had just begun",
        Drop::NoCommonCodec => "no payload type for that codec",
        Drop::Late => "too late, another encoding is shown by now",
        Drop::NotConnected => "the viewer was not connected yet",
        Drop::RtcpFlood => "more RTCP than one may send in a second",
        Drop::RtcpMalformed => "broken RTCP",
        Drop::Replayed => "RTCP that was there before",
        Drop::RepairLimit => "more retransmissions than one viewer may cost",
        Drop::RepairUnknown => "asked for again, but not kept any more",
        Drop::LaneFull => "a media thread was too busy",
        Drop::WireFull => "the TCP connection is too slow",
    }
}

/// As people call it.
pub fn suite(profile: Profile) -> &'static str {
    match profile {
        Profile::Aes128Gcm => "AES-128-GCM",
        Profile::Aes256Gcm => "AES-256-GCM",
        Profile::Aes128CmSha1 => "AES-128-CM with SHA-1",
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
        })
    }
}
