//! Playlists as they go out: each text is written once per version of what it tells of, compressed once in each
//! form that somebody takes, and shared by all who ask (RFC 9110 section 12.5.3 for what they take).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

/// Forms of one text that are kept: a few by what is left out, and one each for the tokens in use.
const KEPT: usize = 16;
/// Beyond this a better compression costs more than it saves.
const BROTLI: Level = Level::Precise(4);

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

/// One text.
#[derive(Debug)]
pub(crate) struct Text {
    plain: Bytes,
    gzip: OnceCell<Bytes>,
    brotli: OnceCell<Bytes>,
}

impl Text {
    pub(crate) fn new(text: String) -> Self {
        Self { plain: text.into(), gzip: OnceCell::new(), brotli: OnceCell::new() }
    }

    /// The text in this coding. The first who asks compresses it, who asks meanwhile waits for that.
    ///
    /// # Errors
    /// None is known: it is written into memory.
    pub(crate) async fn coded(&self, coding: Coding) -> io::Result<Bytes> {
        let done = match coding {
            Coding::Plain => return Ok(self.plain.clone()),
            Coding::Gzip => self.gzip.get(),
            Coding::Brotli => self.brotli.get(),
        };
        match done {
            Some(done) => Ok(done.clone()),
            // Not a part of each request's future, of which thousands wait.
            None => Box::pin(self.code(coding)).await,
        }
    }

    async fn code(&self, coding: Coding) -> io::Result<Bytes> {
        match coding {
            Coding::Plain => Ok(self.plain.clone()),
            Coding::Gzip => self.gzip.get_or_try_init(|| gzip(&self.plain)).await.cloned(),
            Coding::Brotli => self.brotli.get_or_try_init(|| brotli(&self.plain)).await.cloned(),
        }
    }
}

async fn gzip(text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzipEncoder::new(Vec::with_capacity(text.len() / 4));
    encoder.write_all(text).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner().into())
}

async fn brotli(text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = BrotliEncoder::with_quality(Vec::with_capacity(text.len() / 4), BROTLI);
    encoder.write_all(text).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner().into())
}

/// The texts of one version, by what they hold.
#[derive(Debug)]
pub(crate) struct Texts<K>(Mutex<Vec<(K, Arc<Text>)>>);

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> Texts<K> {
    /// The text for this key, written by the first who asks.
    pub(crate) fn get(&self, key: K, write: impl FnOnce() -> String) -> Arc<Text> {
        // A panic while writing leaves the list as it was.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = all.iter().find(|(known, _)| *known == key) {
            return Arc::clone(text);
        }
        let text = Arc::new(Text::new(write()));
        if all.len() < KEPT {
            all.push((key, Arc::clone(&text)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
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
        let text = Text::new("#EXTM3U\n".repeat(500));
        let (gzip, again) =
            (text.coded(Coding::Gzip).await.unwrap(), text.coded(Coding::Gzip).await.unwrap());
        assert_eq!(gzip.as_ptr(), again.as_ptr());
        assert!(gzip.len() < 200);
        let mut decoder = GzipDecoder::new(Vec::new());
        decoder.write_all(&gzip).await.unwrap();
        decoder.shutdown().await.unwrap();
        assert_eq!(decoder.into_inner(), text.plain);
        let mut decoder = BrotliDecoder::new(Vec::new());
        decoder.write_all(&text.coded(Coding::Brotli).await.unwrap()).await.unwrap();
        decoder.shutdown().await.unwrap();
        assert_eq!(decoder.into_inner(), text.plain);
    }

    #[test]
    fn texts_are_written_once_and_only_so_many_are_kept() {
        let texts = Texts::default();
        let mut written = 0;
        for round in 0..2 {
            for key in 0..KEPT + 1 {
                texts.get(key, || {
                    written += 1;
                    format!("{round}")
                });
            }
        }
        assert_eq!(written, KEPT + 2, "the last is written each time");
        assert_eq!(texts.0.lock().unwrap().len(), KEPT);
    }
}
