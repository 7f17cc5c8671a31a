//! A connection that is kept and asked one thing after another, without waiting: HTTP/1.1 (RFC 9112) as much as a
//! crowd of players needs. Bodies are counted, and kept only where somebody reads them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Longest head of an answer.
const MAX_HEAD: usize = 8 << 10;
/// Longest body that is kept: a playlist of hours.
const MAX_KEPT: usize = 8 << 20;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its number.
    pub(crate) status: u16,
    /// Bytes that came, head included.
    pub(crate) bytes: u64,
    /// What was to be kept.
    pub(crate) body: Vec<u8>,
    /// The other side closes behind it.
    closes: bool,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked.
    Idle,
    /// Up to the empty line.
    Head,
    /// So many bytes more.
    Body(u64),
    /// The line with the size of a chunk.
    Size,
    /// So much of a chunk more, the end of its line included.
    Chunk(u64),
    /// The lines behind the last chunk, to the empty one.
    Trailer,
}

/// Reads an answer, piece by piece.
#[derive(Debug)]
struct Parser {
    phase: Phase,
    /// A head or a line that is not whole yet.
    line: Vec<u8>,
    keep: bool,
    answer: Answer,
}

impl Parser {
    fn idle() -> Self {
        Self { phase: Phase::Idle, line: Vec::new(), keep: false, answer: Answer::default() }
    }

    fn expect(&mut self, keep: bool) {
        (self.phase, self.keep) = (Phase::Head, keep);
        self.line.clear();
        self.answer = Answer::default();
    }

    /// Takes what came; the answer, once it is whole.
    fn take(&mut self, mut bytes: &[u8]) -> Result<Option<Answer>> {
        self.answer.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            match self.phase {
                Phase::Idle => bail!("{} bytes that nobody asked for", bytes.len()),
                Phase::Head => match self.until(bytes, b"\r\n\r\n")? {
                    Some(rest) => {
                        bytes = rest;
                        self.head()?;
                    }
                    None => return Ok(None),
                },
                Phase::Size | Phase::Trailer => match self.until(bytes, b"\r\n")? {
                    Some(rest) => {
                        bytes = rest;
                        self.chunk_line()?;
                    }
                    None => return Ok(None),
                },
                Phase::Body(left) | Phase::Chunk(left) => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(left as usize));
                    bytes = rest;
                    self.body(taken, left)?;
                }
            }
            if self.phase == Phase::Idle {
                return Ok(Some(std::mem::take(&mut self.answer)));
            }
        }
        Ok(None)
    }

    /// Gathers a line up to `end`; what is behind it, once it is whole.
    fn until<'a>(&mut self, bytes: &'a [u8], end: &[u8]) -> Result<Option<&'a [u8]>> {
        let before = self.line.len();
        let room = (MAX_HEAD + 1).saturating_sub(before);
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The end may lie across two reads.
        let from = before.saturating_sub(end.len());
        let found = self.line[from..].windows(end.len()).position(|window| window == end);
        let Some(found) = found else {
            if self.line.len() > MAX_HEAD {
                bail!("a head of more than {MAX_HEAD} bytes");
            }
            return Ok(None);
        };
        let len = from + found + end.len();
        self.line.truncate(len);
        Ok(Some(&bytes[len - before..]))
    }

    fn head(&mut self) -> Result<()> {
        let head = std::str::from_utf8(&self.line).context("a head that is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.get(2..5)).and_then(|code| code.parse().ok());
        self.answer.status = status.with_context(|| format!("no HTTP/1: {head:.60}"))?;
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse().context("content-length")?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => self.answer.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        self.phase = match (chunked, length) {
            (true, _) => Phase::Size,
            (false, Some(0)) => Phase::Idle,
            (false, Some(length)) => Phase::Body(length),
            (false, None) if self.answer.status == 204 => Phase::Idle,
            (false, None) => bail!("an answer without a length"),
        };
        self.line.clear();
        Ok(())
    }

    /// The line before a chunk, or behind the last one.
    fn chunk_line(&mut self) -> Result<()> {
        if self.phase == Phase::Trailer {
            if self.line == b"\r\n" {
                self.phase = Phase::Idle;
            }
        } else {
            let text = std::str::from_utf8(&self.line).context("a chunk without a size")?;
            let size = text.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).context("a chunk without a size")?;
            let whole = size.checked_add(2).context("a chunk too large")?;
            self.phase = if size == 0 { Phase::Trailer } else { Phase::Chunk(whole) };
        }
        self.line.clear();
        Ok(())
    }

    /// `left` was to come, `taken` of it has.
    fn body(&mut self, taken: &[u8], left: u64) -> Result<()> {
        let chunked = matches!(self.phase, Phase::Chunk(_));
        let after = left - taken.len() as u64;
        if self.keep {
            // The end of a chunk's line is none of the body.
            let beyond = if chunked { 2u64.saturating_sub(after) as usize } else { 0 };
            let own = taken.len().saturating_sub(beyond);
            if self.answer.body.len() + own > MAX_KEPT {
                bail!("a playlist of more than {MAX_KEPT} bytes");
            }
            self.answer.body.extend_from_slice(&taken[..own]);
        }
        self.phase = match (chunked, after) {
            (true, 0) => Phase::Size,
            (false, 0) => Phase::Idle,
            (true, after) => Phase::Chunk(after),
            (false, after) => Phase::Body(after),
        };
        Ok(())
    }
}

/// A connection, opened when it is first needed, and again after the other side has closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    to: SocketAddr,
    token: Token,
    stream: Option<TcpStream>,
    parser: Parser,
    out: Vec<u8>,
    sent: usize,
    /// How often it was opened.
    pub(crate) opened: u64,
}

impl Connection {
    pub(crate) fn new(to: SocketAddr, token: Token) -> Self {
        let (parser, out) = (Parser::idle(), Vec::new());
        Self { to, token, stream: None, parser, out, sent: 0, opened: 0 }
    }

    /// Nothing is asked.
    pub(crate) fn is_idle(&self) -> bool {
        self.parser.phase == Phase::Idle
    }

    /// Asks for what `request` says, a head with its empty line; its body is kept if `keep`.
    pub(crate) fn ask(&mut self, registry: &Registry, request: &str, keep: bool) -> Result<()> {
        self.out.clear();
        self.out.extend_from_slice(request.as_bytes());
        self.sent = 0;
        self.parser.expect(keep);
        if self.stream.is_none() {
            let mut stream = TcpStream::connect(self.to)?;
            let _ = stream.set_nodelay(true);
            registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
            self.stream = Some(stream);
            self.opened += 1;
        }
        self.send()
    }

    /// After an event; an answer, once it is whole.
    pub(crate) fn ready(&mut self, scratch: &mut [u8]) -> Result<Option<Answer>> {
        self.send()?;
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let read = match stream.read(scratch) {
                Ok(0) => {
                    self.close();
                    if self.is_idle() {
                        return Ok(None);
                    }
                    self.parser = Parser::idle();
                    bail!("closed before the answer was whole");
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.close();
                    self.parser = Parser::idle();
                    return Err(error.into());
                }
            };
            match self.parser.take(&scratch[..read]) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    if answer.closes {
                        self.close();
                    }
                    return Ok(Some(answer));
                }
                Err(error) => {
                    self.close();
                    self.parser = Parser::idle();
                    return Err(error);
                }
            }
        }
    }

    fn send(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return Ok(());
                }
                Err(error) => {
                    self.close();
                    self.parser = Parser::idle();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Closed with its socket, which leaves the poll by itself.
    fn close(&mut self) {
        self.stream = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed in pieces of every size, it reads the same.
    fn read(text: &str) -> Result<Option<Answer>> {
        let mut last = None;
        for size in 1..=text.len() {
            let mut parser = Parser::idle();
            parser.expect(true);
            let mut found = None;
            for piece in text.as_bytes().chunks(size) {
                if found.is_some() {
                    bail!("bytes behind an answer");
                }
                found = parser.take(piece)?;
            }
            if let Some(last) = &last {
                assert_eq!(last, &found, "in pieces of {size}");
            }
            last = Some(found);
        }
        Ok(last.flatten())
    }

    #[test]
    fn answers_in_pieces_of_every_size() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
        let answer = read(plain).unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.closes), (200, &b"hello"[..], false));
        assert_eq!(answer.bytes, plain.len() as u64);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                       3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n";
        let answer = read(chunked).unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.closes), (200, &b"hello"[..], true));
        let empty = read("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!((empty.status, empty.body.len()), (503, 0));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").unwrap(), None);
    }

    #[test]
    fn what_is_no_answer() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let mut parser = Parser::idle();
        parser.expect(false);
        assert!(parser.take(&[b'x'; MAX_HEAD + 1]).is_err());
    }
}
