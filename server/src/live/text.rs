//! Playlists as they go out: each text is written once per version of what it tells of, compressed once in each
//! form that somebody takes, and shared by all who ask (RFC 9110 section 12.5.3 for what they take). No lock is held
//! meanwhile, and what is long, as a window of hours is, is made where it keeps no other request waiting.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Forms of one text that are kept: a few by what is left out, and one each for the tokens in use.
const KEPT: usize = 16;
/// Beyond this a better compression costs more than it saves.
const BROTLI: Level = Level::Precise(4);
/// More bytes than these are compressed off the async threads: they take longer than a millisecond.
const LONG: usize = 64 << 10;

/// How a text is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// The best one that a client takes; `accepts`: its `Accept-Encoding`.
    pub(crate) fn of(accepts: &str) -> Self {
        let weight = |name: &str| {
            let mut best = None;
            for item in accepts.split(',') {
                let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
                let quality = parameters.trim().strip_prefix("q=");
                let taken = quality.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
                if coding.trim().eq_ignore_ascii_case(name) {
                    best = Some(taken);
                }
            }
            best
        };
        match (weight("br"), weight("gzip"), weight("*")) {
            (Some(true), ..) => Self::Brotli,
            (_, Some(true), _) | (_, None, Some(true)) => Self::Gzip,
            _ => Self::Plain,
        }
    }

    /// As `Content-Encoding` says it.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// One text, once it is written.
#[derive(Debug, Default)]
pub(crate) struct Text {
    plain: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
    brotli: OnceCell<Bytes>,
}

/// How long it takes to write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    /// Off the async threads.
    Long,
}

impl Text {
    /// Has it written, unless it is: the first who asks does, who asks meanwhile waits for that.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn written<W: FnOnce() -> String + Send + 'static>(
        &self,
        length: Length,
        write: impl FnOnce() -> W,
    ) -> io::Result<()> {
        if self.plain.initialized() {
            return Ok(());
        }
        let write = write();
        let writing = async {
            let text = match length {
                Length::Short => write(),
                Length::Long => spawn_blocking(write).await.map_err(io::Error::other)?,
            };
            Ok::<Bytes, io::Error>(text.into())
        };
        // Not a part of each request's future, of which thousands wait.
        Box::pin(self.plain.get_or_try_init(|| writing)).await.map(drop)
    }

    /// The text in this coding, likewise; of one that was not written there is nothing.
    ///
    /// # Errors
    /// It could not be compressed.
    pub(crate) async fn coded(&self, coding: Coding) -> io::Result<Bytes> {
        let done = match coding {
            Coding::Plain => return Ok(self.plain.get().cloned().unwrap_or_default()),
            Coding::Gzip => self.gzip.get(),
            Coding::Brotli => self.brotli.get(),
        };
        match done {
            Some(done) => Ok(done.clone()),
            None => Box::pin(self.code(coding)).await,
        }
    }

    async fn code(&self, coding: Coding) -> io::Result<Bytes> {
        let plain = self.plain.get().cloned().unwrap_or_default();
        match coding {
            Coding::Plain => Ok(plain),
            Coding::Gzip => self.gzip.get_or_try_init(|| compress(plain, gzip)).await.cloned(),
            Coding::Brotli => {
                self.brotli.get_or_try_init(|| compress(plain, brotli)).await.cloned()
            }
        }
    }
}

/// Compresses in place, or where it may take its time. It is written into memory, so it never waits.
async fn compress<F: Future<Output = io::Result<Bytes>> + 'static>(
    text: Bytes,
    by: fn(Bytes) -> F,
) -> io::Result<Bytes> {
    if text.len() <= LONG {
        return by(text).await;
    }
    let handle = Handle::current();
    spawn_blocking(move || handle.block_on(by(text))).await.map_err(io::Error::other)?
}

async fn gzip(text: Bytes) -> io::Result<Bytes> {
    let mut encoder = GzipEncoder::new(Vec::with_capacity(text.len() / 4));
    encoder.write_all(&text).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner().into())
}

async fn brotli(text: Bytes) -> io::Result<Bytes> {
    let mut encoder = BrotliEncoder::with_quality(Vec::with_capacity(text.len() / 4), BROTLI);
    encoder.write_all(&text).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner().into())
}

/// The texts of one version, by what they hold; written or not.
#[derive(Debug)]
pub(crate) struct Texts<K>(Mutex<Vec<(K, Arc<Text>)>>);

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> Texts<K> {
    /// The text for this key. Where too many are kept it is one of its own, and written for who asks alone.
    pub(crate) fn get(&self, key: K) -> Arc<Text> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = all.iter().find(|(known, _)| *known == key) {
            return Arc::clone(text);
        }
        let text = Arc::<Text>::default();
        if all.len() < KEPT {
            all.push((key, Arc::clone(&text)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::Receiver;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_best_coding_that_a_client_takes() {
        for (accepts, expected) in [
            ("", Coding::Plain),
            ("gzip, deflate, br", Coding::Brotli),
            ("gzip, deflate", Coding::Gzip),
            ("GZIP;q=0.5", Coding::Gzip),
            ("gzip;q=0", Coding::Plain),
            ("br;q=0, gzip", Coding::Gzip),
            ("br; q=0.0", Coding::Plain),
            ("*", Coding::Gzip),
            ("gzip;q=0, *", Coding::Plain),
            ("identity", Coding::Plain),
            ("gzip;q=nonsense", Coding::Plain),
            (",;,;q=,", Coding::Plain),
        ] {
            assert_eq!(Coding::of(accepts), expected, "{accepts}");
        }
    }

    #[tokio::test]
    async fn a_text_is_the_same_in_every_coding_and_compressed_once() {
        use async_compression::tokio::write::{BrotliDecoder, GzipDecoder};
        let text = Text::default();
        text.written(Length::Short, || || "#EXTM3U\n".repeat(500)).await.unwrap();
        let (gzip, again) =
            (text.coded(Coding::Gzip).await.unwrap(), text.coded(Coding::Gzip).await.unwrap());
        assert_eq!(gzip.as_ptr(), again.as_ptr());
        assert!(gzip.len() < 200);
        let mut decoder = GzipDecoder::new(Vec::new());
        decoder.write_all(&gzip).await.unwrap();
        decoder.shutdown().await.unwrap();
        assert_eq!(decoder.into_inner(), *text.plain.get().unwrap());
        let mut decoder = BrotliDecoder::new(Vec::new());
        decoder.write_all(&text.coded(Coding::Brotli).await.unwrap()).await.unwrap();
        decoder.shutdown().await.unwrap();
        assert_eq!(decoder.into_inner(), *text.plain.get().unwrap());
    }

    #[tokio::test]
    async fn texts_are_written_once_and_only_so_many_are_kept() {
        let texts = Texts::default();
        let written = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            for key in 0..KEPT + 1 {
                let count = Arc::clone(&written);
                let write = || {
                    move || {
                        count.fetch_add(1, Ordering::Relaxed);
                        String::new()
                    }
                };
                texts.get(key).written(Length::Long, write).await.unwrap();
            }
        }
        assert_eq!(written.load(Ordering::Relaxed), KEPT + 2, "the last is written each time");
        assert_eq!(texts.0.lock().unwrap().len(), KEPT);
    }

    /// On one thread: who asks for a short text is not kept waiting by a long one that is being made.
    #[tokio::test]
    async fn a_long_text_holds_nobody_up_and_is_made_once() {
        let texts = Arc::new(Texts::default());
        let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let gate = Arc::new(Mutex::new(gate));
        let long = async |gate: Arc<Mutex<Receiver<()>>>| {
            let text = texts.get("long");
            let write = || {
                move || {
                    gate.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
                    "#EXTINF:2.00000,\n".repeat(LONG)
                }
            };
            text.written(Length::Long, write).await.unwrap();
            text.coded(Coding::Brotli).await.unwrap()
        };
        let others = async {
            tokio::task::yield_now().await;
            let text = texts.get("short");
            text.written(Length::Short, || || "#EXTM3U\n".to_owned()).await.unwrap();
            assert_eq!(text.coded(Coding::Plain).await.unwrap(), "#EXTM3U\n");
            // Once, for both.
            go.send(()).unwrap();
        };
        let (one, two, ()) = tokio::join!(long(Arc::clone(&gate)), long(gate), others);
        assert!(one.as_ptr() == two.as_ptr() && one.len() < LONG);
    }
}
