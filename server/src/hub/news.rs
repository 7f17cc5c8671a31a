//! What viewers may be told about their stream: one value per stream that holds only the newest
//! state, and for each reader what it was told last. Nothing queues up here: who reads slowly skips
//! what was in between.
//!
//! What an event looks like is `whep::events`; who may read, and the connection, is
//! `http/events.rs`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media::{Codec, Kind};
use sfu::stats::{EncodingState, Origin};
use signaling::SessionId;
use stream::{State, Stream};
use tokio::sync::{oneshot, watch};
use whep::events::{Message, Reason, Rendition, Wanted};

/// A stream's viewers are counted at most so often: each count wakes all who listen.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// One stream as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    active: bool,
    /// The publisher's video, best first.
    layers: Arc<[Rendition]>,
    viewers: usize,
    /// What the publisher was last seen to send, audio and video.
    sends: [Option<Codec>; 2],
    /// The codecs of which one serves a viewer: what is sent, and what bridges make of it.
    serves: Vec<Codec>,
}

/// Everything that may be told, and who listens.
#[derive(Debug, Default)]
pub(super) struct Desk {
    boards: HashMap<stream::Name, Board>,
    /// By publisher.
    layers: HashMap<SessionId, Arc<[Rendition]>>,
    /// By viewer; only of those who asked for something.
    readers: HashMap<SessionId, Reader>,
    /// Streams whose count has changed since it was told, and when it may be told again.
    late: BTreeSet<(Instant, stream::Name)>,
}

#[derive(Debug, Default)]
struct Board {
    news: watch::Sender<Arc<News>>,
    /// Not told yet where it differs from the news.
    viewers: usize,
    counted: Option<Instant>,
}

#[derive(Debug)]
struct Reader {
    /// `None`: the event stream was ended by DELETE.
    wanted: Option<Wanted>,
    /// It knows of media, so it has to hear when there is none; a new connection goes on there.
    knows_media: Arc<AtomicBool>,
    /// Ends the connection, with a last word or without.
    open: Option<oneshot::Sender<Option<Reason>>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { wanted: Some(Wanted::ALL), knows_media: Arc::default(), open: None }
    }
}

impl Desk {
    /// Something has happened to a stream.
    pub(super) fn update(&mut self, now: Instant, name: &stream::Name, stream: &Stream) {
        if stream.is_empty() {
            self.boards.remove(name);
            return;
        }
        let publisher = stream.publisher();
        let board = self.boards.entry(name.clone()).or_default();
        let before = Arc::clone(&board.news.borrow());
        let mut news = News {
            // While one publisher replaces another there is a moment without media.
            active: match stream.state() {
                State::Live => true,
                State::Starting => before.active && publisher.is_some(),
                _ => false,
            },
            layers: publisher
                .and_then(|p| self.layers.get(&p.session))
                .map_or_else(Arc::default, Arc::clone),
            viewers: before.viewers,
            sends: [Kind::Audio, Kind::Video].map(|kind| publisher.and_then(|p| p.sends(kind))),
            serves: serving(stream),
        };
        board.viewers = stream.viewers().len();
        if board.viewers != before.viewers {
            match board.counted.map(|at| at + COUNT_INTERVAL).filter(|due| *due > now) {
                Some(due) => drop(self.late.insert((due, name.clone()))),
                None => {
                    board.counted = Some(now);
                    news.viewers = board.viewers;
                }
            }
        }
        if news != *before {
            board.news.send_replace(Arc::new(news));
        }
    }

    /// When [`Desk::count`] wants to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.late.first().map(|(due, _)| *due)
    }

    /// Tells the counts that had to wait.
    pub(super) fn count(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, name)) = self.late.pop_first() else { return };
            let Some(board) = self.boards.get_mut(&name) else { continue };
            let viewers = board.viewers;
            if board.news.borrow().viewers != viewers {
                board.counted = Some(now);
                board.news.send_modify(|news| Arc::make_mut(news).viewers = viewers);
            }
        }
    }

    /// What a publisher's encodings are like now. [`Desk::update`] has to follow.
    pub(super) fn encodings(&mut self, publisher: SessionId, encodings: &[EncodingState]) {
        let pixels = |r: &Rendition| r.dimensions.map_or(0, |(w, h)| u32::from(w) * u32::from(h));
        let video = || encodings.iter().filter(|e| e.kind == Kind::Video);
        // What is bridged is nobody's choice: who needs it gets it. Unless there is nothing else.
        let any = video().any(|e| e.origin == Origin::Source);
        let mut video: Vec<Rendition> = video()
            .filter(|e| !any || e.origin == Origin::Source)
            .map(|e| Rendition {
                id: e.id,
                dimensions: e.dimensions,
                bitrate_bps: e.bitrate_bps,
                active: e.active,
            })
            .collect();
        video.sort_by_key(|r| (std::cmp::Reverse((pixels(r), r.bitrate_bps)), r.id));
        self.layers.insert(publisher, video.into());
    }

    /// A viewer makes another event stream of these, or has none any more. The open one ends.
    pub(super) fn want(&mut self, viewer: SessionId, wanted: Option<Wanted>) {
        let reader = self.readers.entry(viewer).or_default();
        reader.wanted = wanted;
        reader.open = None;
    }

    /// A viewer of this stream reads; its older connection ends. `None` if it has ended its event
    /// stream. `codecs` are those that it can take, `line` the m-line of its video.
    pub(super) fn listen(
        &mut self,
        name: &stream::Name,
        viewer: SessionId,
        codecs: Vec<Codec>,
        line: Option<usize>,
    ) -> Option<Listener> {
        let news = self.boards.get(name)?.news.subscribe();
        let reader = self.readers.entry(viewer).or_default();
        let wanted = reader.wanted?;
        let (open, end) = oneshot::channel();
        reader.open = Some(open);
        let knows_media = Arc::clone(&reader.knows_media);
        // Who was told of media by another connection may have missed what came then.
        let active = if knows_media.load(Ordering::Relaxed) { None } else { Some(false) };
        let told = Told { active, ..Told::default() };
        let wish = Wish { wanted, codecs, line, knows_media };
        Some(Listener { news, end: Some(end), wish, told })
    }

    /// A session is over. Its reader hears `last`, and the connection ends.
    pub(super) fn end(&mut self, session: SessionId, last: Option<Reason>) {
        self.layers.remove(&session);
        if let Some(open) = self.readers.remove(&session).and_then(|reader| reader.open) {
            // Who has gone away needs no last word.
            let _ = open.send(last);
        }
    }
}

/// One connection of a viewer, and what was said on it.
#[derive(Debug)]
pub(crate) struct Listener {
    news: watch::Receiver<Arc<News>>,
    /// `None`: everything has been said.
    end: Option<oneshot::Receiver<Option<Reason>>>,
    wish: Wish,
    told: Told,
}

/// What matters to a viewer.
#[derive(Debug)]
struct Wish {
    wanted: Wanted,
    /// That it can take.
    codecs: Vec<Codec>,
    /// The m-line of its video.
    line: Option<usize>,
    knows_media: Arc<AtomicBool>,
}

/// What was said last.
#[derive(Debug, Default)]
struct Told {
    active: Option<bool>,
    layers: Arc<[Rendition]>,
    viewers: Option<usize>,
    missing: Vec<Codec>,
}

impl Listener {
    /// Waits until there is something to say, and says it as an event stream does; `None` after the
    /// last. Nothing is lost if the caller stops waiting.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.end.as_mut()?;
            let news = Arc::clone(&self.news.borrow_and_update());
            let text = self.told.catch_up(&news, &self.wish);
            if !text.is_empty() {
                return Some(text);
            }
            tokio::select! {
                biased;
                last = end => {
                    self.end = None;
                    let last = last.ok().flatten().map(Message::Reconnect);
                    let wanted = self.wish.wanted;
                    return last.filter(|last| wanted.has(last.kind())).map(|last| last.to_string());
                }
                changed = self.news.changed() => changed.ok()?,
            }
        }
    }
}

impl Told {
    /// What is different from what was said last.
    fn catch_up(&mut self, news: &News, wish: &Wish) -> String {
        let mut text = String::new();
        let mut say = |message: Message<'_>| {
            if wish.wanted.has(message.kind()) {
                // Writing to a string does not fail.
                let _ = write!(text, "{message}");
            }
        };
        if self.active != Some(news.active) {
            self.active = Some(news.active);
            say(if news.active { Message::Active } else { Message::Inactive });
            wish.knows_media.store(news.active, Ordering::Relaxed);
        }
        if let Some(line) = wish.line.filter(|_| self.layers != news.layers) {
            self.layers = Arc::clone(&news.layers);
            say(Message::Layers(line, &news.layers));
        }
        if self.viewers != Some(news.viewers) {
            self.viewers = Some(news.viewers);
            say(Message::ViewerCount(news.viewers));
        }
        let missing = missing(news, &wish.codecs);
        if self.missing != missing {
            if !missing.is_empty() {
                say(Message::Reconnect(Reason::Codec));
            }
            self.missing = missing;
        }
        text
    }
}

/// The codecs that serve a viewer who offers one of them alone.
fn serving(stream: &Stream) -> Vec<Codec> {
    let serves = |codec: &Codec| stream.untakeable(std::slice::from_ref(codec)).is_empty();
    Codec::WEBRTC.into_iter().filter(serves).collect()
}

/// What is published and a viewer with these codecs gets in no form, though another offer could have it. A
/// kind of which it has none at all it does not want.
fn missing(news: &News, codecs: &[Codec]) -> Vec<Codec> {
    let of = |kind| codecs.iter().filter(move |codec| codec.kind() == kind);
    let lacks = |sent: &Codec| {
        let wants = of(sent.kind()).next().is_some();
        wants && !of(sent.kind()).any(|codec| news.serves.contains(codec))
    };
    let sent = news.sends.into_iter().flatten().filter(|codec| Codec::WEBRTC.contains(codec));
    sent.filter(lacks).collect()
}

#[cfg(test)]
mod tests;
