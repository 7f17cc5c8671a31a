//! One session below its media: socket, ICE, DTLS and the keys, until it is up and as long as it lives.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use anyhow::Result;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::dtls::{Dtls, Shared};
use crate::ice::{Credentials, Got, Ice};
use crate::rtcp::Writer;
use crate::sdp::Answer;
use crate::srtp::{Keys, Profile};

/// A session with a server.
pub struct Link {
    socket: UdpSocket,
    shared: Arc<Shared>,
    ice: Ice,
    dtls: Option<Dtls>,
    /// The server is the DTLS client.
    passive: bool,
    fingerprint: String,
    /// What we seal with, from when DTLS is up.
    pub send: Option<Keys>,
    /// What we open with.
    pub receive: Option<Keys>,
    /// What was agreed on.
    pub profile: Option<Profile>,
}

impl Link {
    /// `local` is what our offer said.
    pub fn new(
        socket: std::net::UdpSocket,
        shared: Arc<Shared>,
        local: Credentials,
        answer: &Answer,
        now: u64,
    ) -> Self {
        let v4 = socket.local_addr().is_ok_and(|a| a.is_ipv4());
        let reachable: Vec<SocketAddr> =
            answer.candidates.iter().copied().filter(|c| c.is_ipv4() == v4).collect();
        Self {
            ice: Ice::new(local, answer.ice.clone(), &reachable, now),
            socket: UdpSocket::from_std(socket),
            shared,
            dtls: None,
            passive: answer.active,
            fingerprint: answer.fingerprint.clone(),
            send: None,
            receive: None,
            profile: None,
        }
    }

    /// Wakes `registry`'s poll when something comes.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// For receiving.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// True once media can be opened and sealed.
    pub fn is_up(&self) -> bool {
        self.receive.is_some()
    }

    /// True if the server has stopped answering.
    pub fn lost(&self, now: u64) -> bool {
        self.ice.lost(now)
    }

    /// What is due: checks, repeated flights.
    ///
    /// # Errors
    /// If the handshake has failed.
    pub fn tick(&mut self, now: u64) -> Result<()> {
        let socket = &self.socket;
        self.ice.tick(now, |to, bytes| transmit(socket, to, bytes));
        if let Some(dtls) = &mut self.dtls {
            dtls.tick(now, |bytes| drop(socket.send(bytes)))?;
        }
        Ok(())
    }

    /// Takes a datagram that is no media.
    ///
    /// # Errors
    /// If the handshake has failed.
    pub fn control(&mut self, now: u64, from: SocketAddr, datagram: &[u8]) -> Result<()> {
        match datagram.first() {
            Some(0..=3) => {
                let socket = &self.socket;
                let send = |to, bytes: &[u8]| transmit(socket, to, bytes);
                if let Got::Selected(way) = self.ice.receive(now, from, datagram, send) {
                    // From here on the kernel drops what comes from elsewhere.
                    self.socket.connect(way)?;
                    self.dtls = Some(Dtls::new(&self.shared, !self.passive)?);
                    self.handshake(now, None)?;
                }
                Ok(())
            }
            Some(20..=63) => self.handshake(now, Some(datagram)),
            _ => Ok(()),
        }
    }

    fn handshake(&mut self, now: u64, datagram: Option<&[u8]>) -> Result<()> {
        let Some(dtls) = &mut self.dtls else { return Ok(()) };
        if self.passive && datagram.is_none() {
            return Ok(());
        }
        let socket = &self.socket;
        let send = |bytes: &[u8]| drop(socket.send(bytes));
        if let Some(made) = dtls.step(now, datagram, &self.fingerprint, send)? {
            self.profile = Some(made.profile);
            self.send = Some(made.send);
            self.receive = Some(made.receive);
        }
        Ok(())
    }

    /// Sends a datagram as it is.
    pub fn transmit(&self, datagram: &[u8]) {
        // A full buffer is a lost datagram, as on any network.
        let _ = self.socket.send(datagram);
    }

    /// Seals and sends RTCP.
    pub fn report(&mut self, mut writer: Writer) {
        let Some(keys) = self.send.as_mut().filter(|_| !writer.is_empty()) else { return };
        let (bytes, used) = writer.finish();
        if let Some(end) = keys.seal_rtcp(bytes, used) {
            let _ = self.socket.send(&bytes[..end]);
        }
    }

    /// Says that we leave.
    pub fn close(&self) {
        if let Some(dtls) = &self.dtls {
            dtls.close(|bytes| drop(self.socket.send(bytes)));
        }
    }
}

fn transmit(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    // Connected sockets refuse a destination on some systems; the way is the same.
    if socket.send_to(bytes, to).is_err() {
        let _ = socket.send(bytes);
    }
}
