//! One publisher: a socket, an RTMP client, and its place in the show.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use media::{AccessUnit, MediaTime};
use mio::event::Event as Ready;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rtmp::chunk::Limits;
use rtmp::client::{Config, Event, Mode};
use rtmp::{Client, RANDOM, Url};

use super::{Plan, Show};
use crate::sys;

/// Slices of one system call.
const SLICES: usize = 16;
/// More than this waits for a server only that does not read.
const MOST: usize = 8 << 20;
/// Delays that are kept of each publisher.
const TAPE: usize = 20_000;

/// One.
pub(super) struct Publisher {
    socket: TcpStream,
    client: Client,
    state: State,
    /// When its show begins, µs, and what part of its rounds is over.
    began: u64,
    phase: u64,
    round: i64,
    next: usize,
    due: u64,
    readable: bool,
    writable: bool,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    pub(super) units: u64,
    pub(super) bytes: u64,
    pub(super) late: Vec<u32>,
    pub(super) stalls: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Joining,
    Live,
    Over,
}

impl Publisher {
    /// Begins to connect.
    pub(super) fn open(
        plan: &Plan,
        url: &Url,
        address: SocketAddr,
        number: usize,
        now: u64,
    ) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        let config = Config {
            url: numbered(url, number),
            mode: Mode::Publish,
            agent: "FMLE/3.0 (compatible; weir-bench)".into(),
            enhanced: false,
            chunk_size: plan.chunk_size,
            limits: Limits::default(),
        };
        let random = [number as u8; RANDOM];
        Ok(Self {
            socket,
            client: Client::new(config, &random),
            state: State::Joining,
            began: 0,
            phase: number as u64,
            round: 0,
            next: 0,
            due: now,
            readable: false,
            writable: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            units: 0,
            bytes: 0,
            late: Vec::new(),
            stalls: 0,
        })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> Result<()> {
        Ok(registry.register(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)?)
    }

    /// What epoll says.
    pub(super) fn ready(&mut self, event: &Ready) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable();
        self.due = 0;
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When it has something to do, µs.
    pub(super) fn due(&self) -> u64 {
        if self.is_over() { u64::MAX } else { self.due }
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, now: u64, show: &Show) -> Result<()> {
        if self.is_over() || now < self.due {
            return Ok(());
        }
        let done = self.work(now, show);
        if done.is_err() {
            self.state = State::Over;
        }
        done
    }

    fn work(&mut self, now: u64, show: &Show) -> Result<()> {
        self.receive()?;
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Ready => self.begin(now, show)?,
                Event::Refused { code, description } => bail!("{code}: {description}"),
                Event::Ended => bail!("the server has ended it"),
                _ => {}
            }
        }
        self.due = u64::MAX;
        if self.is_live() {
            self.collect(now, show);
        }
        self.send()
    }

    fn begin(&mut self, now: u64, show: &Show) -> Result<()> {
        for (track, format) in &show.formats {
            let told = self.client.send_format(track.id, format);
            told.map_err(|refusal| anyhow!("{refusal}"))?;
        }
        self.state = State::Live;
        // Golden ratio: however many there are, their moments are spread over the period.
        let share = (self.phase as f64 * 0.618_034).fract();
        self.began = now + (share * show.period_us as f64) as u64;
        Ok(())
    }

    /// Units whose time has come.
    fn collect(&mut self, now: u64, show: &Show) {
        loop {
            let Some((track, unit)) = show.units.get(self.next) else {
                (self.round, self.next) = (self.round + 1, 0);
                continue;
            };
            let ahead = MediaTime::from_nanos(self.round.saturating_mul(show.length.nanos()));
            let place = |time: MediaTime| MediaTime::from_nanos(ahead.nanos() + time.nanos());
            let at = self.began + (place(unit.dts).nanos() / 1000) as u64;
            if at > now {
                self.due = at;
                return;
            }
            let moved = AccessUnit { dts: place(unit.dts), pts: place(unit.pts), ..unit.clone() };
            self.units += u64::from(self.client.send_unit(*track, &moved));
            if self.late.len() < TAPE {
                self.late.push((sys::now_us().saturating_sub(at)) as u32);
            }
            self.next += 1;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        while self.readable {
            match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(count) => self.client.receive(Instant::now(), &buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        while let Some(bytes) = self.client.poll_output() {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back(bytes);
        }
        while self.writable && !self.waiting.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                self.waiting.iter().take(SLICES).map(|b| IoSlice::new(b)).collect();
            match self.socket.write_vectored(&slices) {
                Ok(count) => self.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    self.stalls += u64::from(self.is_live());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.waiting_bytes > MOST {
            bail!("the server does not read");
        }
        Ok(())
    }

    fn sent(&mut self, mut count: usize) {
        self.bytes += count as u64;
        self.waiting_bytes -= count;
        while count > 0 {
            let Some(first) = self.waiting.front_mut() else { return };
            if count < first.len() {
                return drop(first.split_to(count));
            }
            count -= first.len();
            self.waiting.pop_front();
        }
    }

    /// Leaves as encoders do.
    pub(super) fn leave(&mut self) {
        if self.is_live() {
            self.client.end();
            let _ = self.send();
        }
    }
}

/// The URL of the publisher of this number.
fn numbered(url: &Url, number: usize) -> Url {
    let mut url = url.clone();
    if number > 0 {
        let query = url.name.find('?').unwrap_or(url.name.len());
        url.name.insert_str(query, &format!("-{number}"));
    }
    url
}
