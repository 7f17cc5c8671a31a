//! A whole world in memory: a shard, its clients, a network that delays, loses and reorders by a
//! seeded chance, and a clock that only moves when told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId};
use signaling::SessionId;

use super::epoch;
use super::peer::{self, Identity, Offer};
use crate::directory::Directory;
use crate::egress::{SendRun, Sink};
use crate::feed::Batch;
use crate::path::{Over, Path};
use crate::rtc::client::{Client, agreement};
use crate::rtc::{Certificate, Peer, Transmit};
use crate::shard::{Add, Command, Config, Event, Link, Message, Shard, TapId};
use crate::stats::{EncodingSnapshot, Totals, ViewerSnapshot};
use crate::transport::{Context, Transport};

const STEP: Duration = Duration::from_millis(1);

/// What the network does to datagrams.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Of a hundred datagrams, this many are lost.
    pub(crate) loss_percent: u64,
    /// Only on the way to the server.
    pub(crate) inbound_only: bool,
    /// Only on the way from the server.
    pub(crate) outbound_only: bool,
    /// Each is delayed by 1 ms plus up to this much, so that they overtake each other.
    pub(crate) jitter: Duration,
}

/// See the top of the file.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) shards: Vec<Shard>,
    pub(crate) directory: Directory,
    pub(crate) events: Vec<Event>,
    pub(crate) weather: Weather,
    pub(crate) clients: BTreeMap<u32, Client>,
    /// Clients whose every byte is known.
    pub(crate) peers: BTreeMap<u32, peer::Peer>,
    /// What shards said to each other: from, to, what.
    pub(crate) messages: Vec<(usize, usize, &'static str)>,
    /// The lanes between shards take no more media.
    pub(crate) lanes_full: bool,
    /// Messages to this shard wait in their lane.
    pub(crate) held: Option<usize>,
    lane: Vec<(usize, Message)>,
    /// What taps got.
    pub(crate) tapped: Vec<(TapId, Option<Arc<Batch>>)>,
    /// Runs that went out since the start: source, destination, size and count of the datagrams.
    pub(crate) runs: Vec<(SocketAddr, usize, usize)>,
    /// Peers whose datagrams come by this connection.
    pub(crate) wires: BTreeMap<SocketAddr, u32>,
    /// Which ways were taken out since the start.
    pub(crate) paths: Vec<Path>,
    server: (Certificate, SocketAddr),
    context: Context,
    certificate: Certificate,
    identity: Identity,
    air: BTreeMap<(Instant, u64), Transmit>,
    sent: u64,
    seed: u64,
}

/// What shards send, cut up again as the kernel does it.
#[derive(Default)]
struct Wire {
    datagrams: Vec<Transmit>,
    runs: Vec<(SocketAddr, usize, usize)>,
}

impl Sink for Wire {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        for run in runs {
            self.runs.push((run.path.remote, run.segment_size, run.segments()));
            let segments = bytes[run.range.clone()].chunks(run.segment_size);
            self.datagrams.extend(
                segments.map(|segment| Transmit { path: run.path, contents: segment.to_vec() }),
            );
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_shards(1)
    }

    /// The kernel's hash over addresses is the client's port here: the shard is its remainder.
    pub(crate) fn with_shards(count: usize) -> Self {
        Self::with(count, Config { settle: Duration::ZERO, ..Config::default() })
    }

    pub(crate) fn with(count: usize, config: Config) -> Self {
        let now = epoch();
        let certificate = || Certificate::generate(now).expect("the system has randomness");
        let server = certificate();
        let directory = Directory::default();
        let shard = |index| Shard::new(config, index, directory.clone(), now);
        Self {
            now,
            shards: (0..count).map(shard).collect(),
            directory,
            events: Vec::new(),
            weather: Weather::default(),
            clients: BTreeMap::new(),
            peers: BTreeMap::new(),
            messages: Vec::new(),
            lanes_full: false,
            held: None,
            lane: Vec::new(),
            tapped: Vec::new(),
            runs: Vec::new(),
            wires: BTreeMap::new(),
            paths: Vec::new(),
            context: Context::new(&server).expect("libssl takes our certificate"),
            server: (server, SocketAddr::from(([10, 0, 0, 1], 8080))),
            certificate: certificate(),
            identity: Identity::generate(),
            air: BTreeMap::new(),
            sent: 0,
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn id(number: u32) -> SessionId {
        SessionId::from_random(u128::from(number) << 96 | 7)
    }

    /// A publisher with these simulcast layers; none: a single encoding.
    pub(crate) fn publisher(&mut self, number: u32, rids: &[EncodingId]) {
        self.join(number, rids, &[Codec::H264, Codec::Vp8], true);
    }

    pub(crate) fn viewer(&mut self, number: u32, codecs: &[Codec]) {
        self.join(number, &[], codecs, false);
    }

    fn join(&mut self, number: u32, rids: &[EncodingId], codecs: &[Codec], send: bool) {
        let agreement = agreement(number, rids, codecs, send, self.certificate.fingerprint());
        let address = Self::address(number);
        let server = (&self.server.0, self.server.1);
        let client = Client::new(&agreement, &self.certificate, server, address, self.now);
        self.clients.insert(number, client);
        self.add(number, agreement, send);
    }

    /// A publisher whose packets are made here.
    pub(crate) fn local(&mut self, number: u32) {
        let session = Self::id(number);
        let home = crate::local::home(session, self.shards.len());
        assert_eq!(self.directory.settle(session, home), home);
        self.command(Command::Add(Box::new(Add::local(session))));
    }

    /// Where a client is: its shard is the remainder of the port.
    pub(crate) fn address(number: u32) -> SocketAddr {
        SocketAddr::from(([10, 0, 1, 1], 10_000 + number as u16))
    }

    /// A client whose every byte is known.
    pub(crate) fn join_peer(&mut self, number: u32, offer: &Offer) {
        let agreement = offer.agreement(number, &self.identity.fingerprint());
        let way = (Self::address(number), self.server.1);
        let peer = peer::Peer::new(offer, agreement.clone(), &self.identity, way);
        self.peers.insert(number, peer);
        self.add(number, agreement, offer.send);
    }

    /// One that has another certificate than its offer says.
    pub(crate) fn join_stranger(&mut self, number: u32, offer: &Offer) {
        self.join_peer(number, offer);
        self.command(Command::Remove(Self::id(number)));
        self.events.clear();
        let other = Identity::generate().fingerprint();
        self.add(number, offer.agreement(number, &other), offer.send);
    }

    /// A viewer of that kind that watches `publisher`.
    pub(crate) fn watch(&mut self, number: u32, publisher: u32) {
        self.join_peer(number, &Offer::viewer(number));
        self.attach(number, publisher);
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.server.1
    }

    pub(crate) fn peer(&mut self, number: u32) -> &mut peer::Peer {
        self.peers.get_mut(&number).expect("a known peer")
    }

    fn add(&mut self, number: u32, agreement: signaling::Agreement, send: bool) {
        let link = if send {
            Link::Publisher(Box::new(Peer::new(&agreement, &self.server.0, self.now)))
        } else {
            let transport = Transport::new(&self.context, &agreement, self.now);
            Link::Viewer(Box::new(transport.expect("a sha-256 fingerprint")))
        };
        self.command(Command::Add(Box::new(Add { session: Self::id(number), agreement, link })));
    }

    pub(crate) fn attach(&mut self, viewer: u32, publisher: u32) {
        let (viewer, publisher) = (Self::id(viewer), Some(Self::id(publisher)));
        self.command(Command::Attach { viewer, publisher });
    }

    /// To the shard that is not its home, where there are more: that passes it on.
    pub(crate) fn command(&mut self, command: Command) {
        let shard = (self.directory.home(command.session()).unwrap_or(0) + 1) % self.shards.len();
        self.shards[shard].command(self.now, command);
        self.collect();
    }

    pub(crate) fn client(&mut self, number: u32) -> &mut Client {
        self.clients.get_mut(&number).expect("a known client")
    }

    pub(crate) fn snapshot(&self, viewer: u32) -> Option<ViewerSnapshot> {
        self.shards.iter().find_map(|s| s.viewer(Self::id(viewer), self.now))
    }

    pub(crate) fn encodings(&self, publisher: u32) -> Vec<EncodingSnapshot> {
        self.shards.iter().find_map(|s| s.publisher(Self::id(publisher))).unwrap_or_default()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.shards.iter().for_each(|s| sum.merge(&s.totals()));
        sum
    }

    /// Sessions, names and addresses that are known anywhere.
    pub(crate) fn len(&self) -> (usize, usize, usize) {
        let all = self.shards.iter().map(Shard::len);
        let (sessions, ufrags, addresses) =
            all.fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let known = self.directory.len();
        (sessions.max(known.0), ufrags.max(known.1), addresses)
    }

    /// A datagram out of nowhere.
    pub(crate) fn inject(&mut self, source: SocketAddr, bytes: &[u8]) {
        self.receive(source, &mut bytes.to_vec());
        self.collect();
    }

    fn receive(&mut self, source: SocketAddr, bytes: &mut [u8]) {
        let shard = usize::from(source.port()) % self.shards.len();
        let over = self.wires.get(&source).map_or(Over::Udp, |wire| Over::Tcp(*wire));
        let path = Path { over, ..Path::udp(self.server.1, source) };
        self.shards[shard].receive(self.now, path, bytes);
    }

    /// Lets time pass; `each` runs once per millisecond.
    pub(crate) fn run(&mut self, time: Duration, mut each: impl FnMut(&mut Self)) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            each(self);
            self.deliver();
            let now = self.now;
            self.clients.values_mut().for_each(|c| c.handle_timeout(now));
            self.peers.values_mut().for_each(|p| p.handle_timeout(now));
            self.collect();
        }
    }

    /// Runs until all clients are connected.
    pub(crate) fn connect(&mut self) {
        let end = self.now + Duration::from_secs(10);
        let all = |w: &Self| {
            w.clients.values().all(|c| c.connected) && w.peers.values().all(|p| p.connected)
        };
        while !all(self) {
            assert!(self.now < end, "the clients did not connect in ten seconds");
            self.run(STEP, |_| {});
        }
        // The server's side is up when the last flight has arrived.
        self.run(Duration::from_millis(100), |_| {});
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.air.first_entry().filter(|e| e.key().0 <= self.now) {
            let Transmit { path, mut contents } = entry.remove();
            let (source, destination) = (path.local, path.remote);
            if destination == self.server.1 {
                self.receive(source, &mut contents);
                continue;
            }
            let client = self.clients.values_mut().find(|c| c.address == destination);
            if let Some(client) = client {
                client.receive(self.now, source, &contents);
            } else if let Some(peer) = self.peers.values_mut().find(|p| p.address == destination) {
                peer.receive(self.now, &contents);
            }
        }
    }

    fn collect(&mut self) {
        let mut wire = Wire::default();
        // Twice: what one shard tells another is done in the same millisecond.
        for _ in 0..2 {
            for index in 0..self.shards.len() {
                let shard = &mut self.shards[index];
                if shard.poll_timeout().is_some_and(|due| due <= self.now) {
                    shard.handle_timeout(self.now, &mut wire);
                }
                shard.flush(self.now, &mut wire);
                self.events.extend(std::iter::from_fn(|| shard.poll_event()));
                self.tapped.extend(std::iter::from_fn(|| shard.poll_tap()));
                while let Some((to, message)) = self.shards[index].poll_message() {
                    self.messages.push((index, to, message.label()));
                    if self.lanes_full && message.is_media() {
                        self.shards[index].dropped(&message);
                    } else {
                        self.lane.push((to, message));
                    }
                }
                let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.lane)
                    .into_iter()
                    .partition(|(to, _)| self.held == Some(*to));
                self.lane = stay;
                go.into_iter().for_each(|(to, message)| self.shards[to].message(self.now, message));
            }
        }
        let mut out: Vec<Transmit> = wire.datagrams;
        self.runs.extend(wire.runs);
        self.paths.extend(out.iter().map(|t| t.path).filter(|p| p.over != Over::Udp));
        out.extend(self.clients.values_mut().flat_map(Client::drain));
        out.extend(self.peers.values_mut().flat_map(peer::Peer::drain));
        for transmit in out {
            let ours = transmit.path.local == self.server.1;
            let fair = if ours { self.weather.inbound_only } else { self.weather.outbound_only };
            let weather = if fair { Weather::default() } else { self.weather };
            if self.random() % 100 < weather.loss_percent {
                continue;
            }
            let jitter = weather.jitter.as_micros() as u64;
            let late = if jitter == 0 { 0 } else { self.random() % jitter };
            self.sent += 1;
            let at = self.now + STEP + Duration::from_micros(late);
            self.air.insert((at, self.sent), transmit);
        }
    }

    /// SplitMix64: the same weather in every run.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A camera with one or more layers: VP8 at 30 fps, two packets a frame, a keyframe at the start
/// and whenever one is asked for.
pub(crate) struct Camera {
    pub(crate) codec: Codec,
    pub(crate) number: u32,
    pub(crate) layers: Vec<Layer>,
    next: Instant,
}

pub(crate) struct Layer {
    pub(crate) id: Option<EncodingId>,
    pub(crate) width: u16,
    pub(crate) on: bool,
    pub(crate) keyframes: u32,
    pub(crate) packets: u64,
    seq: u64,
    timestamp: u32,
    picture: u16,
    keyframe: bool,
}

impl Camera {
    pub(crate) fn new(
        world: &World,
        number: u32,
        codec: Codec,
        layers: &[(Option<EncodingId>, u16)],
    ) -> Self {
        let layer = |(index, (id, width)): (usize, &(Option<EncodingId>, u16))| Layer {
            id: *id,
            width: *width,
            on: true,
            keyframes: 0,
            packets: 0,
            seq: 1000 * (index as u64 + 1),
            timestamp: 500_000 * (index as u32 + 1),
            picture: 100 * index as u16,
            keyframe: true,
        };
        let layers = layers.iter().enumerate().map(layer).collect();
        Self { codec, number, layers, next: world.now }
    }

    /// To be called every millisecond.
    pub(crate) fn shoot(&mut self, world: &mut World) {
        let now = world.now;
        let client = world.client(self.number);
        for asked in client.keyframe_requests.drain(..) {
            self.layers.iter_mut().filter(|l| l.id == asked).for_each(|l| l.keyframe = true);
        }
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(33);
        for layer in &mut self.layers {
            layer.timestamp = layer.timestamp.wrapping_add(2970);
            layer.picture = (layer.picture + 1) & 0x7fff;
            if !layer.on {
                layer.keyframe = true;
                continue;
            }
            // As OBS does it: the SPS in a packet of its own before each keyframe.
            if layer.keyframe && self.codec == Codec::H264 {
                let sps = [0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08];
                client.send(now, self.codec, layer.id, (layer.seq, layer.timestamp, false), &sps);
                layer.seq += 1;
                layer.packets += 1;
            }
            for part in 0..2 {
                let payload = layer.payload(self.codec, part);
                let header = (layer.seq, layer.timestamp, part == 1);
                client.send(now, self.codec, layer.id, header, &payload);
                layer.seq += 1;
                layer.packets += 1;
            }
            layer.keyframes += u32::from(layer.keyframe);
            layer.keyframe = false;
        }
    }
}

impl Layer {
    /// The next picture is a keyframe.
    pub(crate) fn keyframe(&mut self) {
        self.keyframe = true;
    }

    fn payload(&self, codec: Codec, part: u8) -> Vec<u8> {
        let first = part == 0;
        let id = self.seq.to_be_bytes();
        let mut bytes = match codec {
            // X set, S on the first part; I set, 15-bit picture id.
            Codec::Vp8 => vec![
                0x80 | u8::from(first) << 4,
                0x80,
                0x80 | (self.picture >> 8) as u8,
                self.picture as u8,
            ],
            // FU-A of an IDR or of another slice, start and end bits.
            _ if self.keyframe => vec![0x7c, if first { 0x85 } else { 0x45 }, 0x88],
            _ => vec![0x5c, if first { 0x81 } else { 0x41 }, 0x9a],
        };
        if codec == Codec::Vp8 && first {
            // Frame tag: bit 0 says that it is no keyframe; then start code and size.
            bytes.extend([u8::from(!self.keyframe), 0, 0]);
            if self.keyframe {
                let [w1, w0] = self.width.to_be_bytes();
                let [h1, h0] = (self.width / 2).to_be_bytes();
                bytes.extend([0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
            }
        }
        // No three zeros in a row: H.264 has none.
        bytes.extend([0x55; 20]);
        bytes.extend(id);
        bytes
    }
}
