//! A server with nothing but a hub and an RTMP listener, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::media::config::avc;
use ::media::{AccessUnit, Codec, Format, Kind, MediaTime};
use bytes::Bytes;
use rtmp::client::{Client, Config, Event, Mode};
use rtmp::{Url, flv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::PATIENCE;
use crate::access::{Access, Secret};
use crate::config;
use crate::hub::{self, Hub};
use crate::net::Socket;
use crate::rtmp::{Counts, Door, Patience, serve};
use crate::status;

/// A hub behind a listener.
pub(in crate::rtmp) struct Studio {
    pub(super) hub: Hub,
    pub(super) address: SocketAddr,
    pub(super) counts: Arc<Counts>,
    _stop: watch::Sender<bool>,
}

impl Studio {
    pub(super) async fn new(toml: &str) -> Self {
        Self::with(toml, Patience::default()).await
    }

    pub(super) async fn with(toml: &str, patience: Patience) -> Self {
        let config: config::Config = toml::from_str(toml).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let settings = hub::Config {
            stream: stream::Config {
                on_conflict: config.stream.on_conflict.into(),
                ..stream::Config::default()
            },
            max_publishers: config.webrtc.max_publishers,
            max_viewers: config.webrtc.max_viewers,
            wait_for_publisher: config.webrtc.wait_for_publisher,
            advertise: crate::advertise::Advertised::default(),
            tcp: None,
            worker: None,
            bridges: crate::bridges::Limit::of_cores(1),
            sfu: sfu::Config::default(),
        };
        let hub = hub::start(settings, vec![Socket::new(socket).unwrap()]).unwrap();
        let access = Arc::new(Access::new(config.access.clone(), Secret::new("made".into())));
        let counts = Arc::<Counts>::default();
        let door = Door::new(hub.clone(), access, &config.rtmp, Arc::clone(&counts));
        let door = Arc::new(Door { patience, ..door });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(door, listener, None, stopped));
        Self { hub, address, counts, _stop: stop }
    }

    pub(super) async fn publish(&self, path: &str) -> Peer {
        self.connect(path, Mode::Publish, true).await
    }

    pub(super) async fn play(&self, path: &str) -> Peer {
        self.connect(path, Mode::Play, true).await
    }

    pub(super) async fn connect(&self, path: &str, mode: Mode, enhanced: bool) -> Peer {
        let url = format!("rtmp://{}/{path}", self.address);
        let url = Url::parse(&url).unwrap();
        let limits = rtmp::chunk::Limits::default();
        let agent = "test/1".to_owned();
        let config = Config { url, mode, agent, enhanced, limits, chunk_size: 4096 };
        let socket = TcpStream::connect(self.address).await.unwrap();
        Peer { client: Client::new(config, &[7; rtmp::RANDOM]), socket, began: now() }
    }

    /// One stream, once `is` says so.
    pub(super) async fn stream(
        &self,
        name: &str,
        is: impl Fn(&status::Stream) -> bool,
    ) -> status::Stream {
        let name = stream::Name::new(name).unwrap();
        let look = async {
            loop {
                if let Some(stream) = self.hub.stream(&name).await.filter(|s| is(s)) {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, look).await.expect("the stream never was like that")
    }

    /// How many connections have ended so.
    pub(super) async fn closed(&self, reason: &str) {
        let count = || self.counts.closed().find(|(name, _)| *name == reason).unwrap().1;
        let look = async {
            while count() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("nobody was closed by {reason}"));
    }
}

/// One client.
pub(in crate::rtmp) struct Peer {
    pub(super) client: Client,
    pub(super) socket: TcpStream,
    began: Instant,
}

impl Peer {
    /// What it hears next.
    pub(super) async fn next(&mut self) -> Event {
        let next = async {
            let mut buffer = [0; 4096];
            loop {
                if let Some(event) = self.client.poll_event() {
                    return event;
                }
                self.flush().await;
                let count = self.socket.read(&mut buffer).await.unwrap_or(0);
                assert_ne!(count, 0, "the server has hung up without a word");
                self.client.receive(now(), &buffer[..count]).unwrap();
            }
        };
        timeout(PATIENCE, next).await.expect("nothing came")
    }

    pub(super) async fn ready(mut self) -> Self {
        assert_eq!(self.next().await, Event::Ready);
        self
    }

    /// Code and description.
    pub(super) async fn refused(mut self) -> (String, String) {
        match self.next().await {
            Event::Refused { code, description } => (code, description),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the server closes the connection.
    pub(super) async fn hung_up(mut self) {
        let mut buffer = [0; 4096];
        let end = async { while self.socket.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
        timeout(PATIENCE, end).await.expect("it stays open");
    }

    pub(super) async fn flush(&mut self) {
        while let Some(bytes) = self.client.poll_output() {
            self.socket.write_all(&bytes).await.unwrap();
        }
    }

    pub(super) async fn formats(&mut self, formats: &[Format]) {
        for format in formats {
            self.client.send_format(0, format).unwrap();
        }
        self.flush().await;
    }

    /// Waits until the clock is where the picture is, so that times are true.
    pub(super) async fn at(&self, ms: u64) {
        tokio::time::sleep_until((self.began + Duration::from_millis(ms)).into()).await;
    }

    pub(super) async fn send(&mut self, unit: (Kind, AccessUnit)) {
        let (kind, unit) = unit;
        assert!(self.client.send_unit(flv::Track::main(kind), &unit));
        self.flush().await;
    }
}

pub(super) fn now() -> Instant {
    crate::clock::now()
}

/// 640 pixels wide.
pub(super) fn h264() -> Format {
    // Constrained baseline, so without reordering, and a picture parameter set.
    let sps = [
        0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0,
        0x14, 0x0f, 0x16, 0x2e, 0xa0,
    ];
    let pps = [0x68, 0xce, 0x0f, 0xc8];
    let record = avc::Record::from_sets(
        vec![Bytes::copy_from_slice(&sps)],
        vec![Bytes::copy_from_slice(&pps)],
    );
    ::media::config::format(Codec::H264, record.unwrap().build()).unwrap()
}

pub(super) fn aac() -> Format {
    // AAC-LC, 48 kHz, stereo.
    ::media::config::format(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap()
}

/// A picture of so many bytes.
pub(super) fn picture(dts: i64, pts: i64, keyframe: bool) -> (Kind, AccessUnit) {
    let mut data = vec![0, 0, 0, 40, if keyframe { 0x65 } else { 0x41 }, 0x88, 0x80];
    data.resize(44, 0x5a);
    (Kind::Video, unit(dts, pts, keyframe, data))
}

pub(super) fn sound(ms: i64) -> (Kind, AccessUnit) {
    (Kind::Audio, unit(ms, ms, true, vec![0x21; 60]))
}

fn unit(dts: i64, pts: i64, keyframe: bool, data: Vec<u8>) -> AccessUnit {
    let (dts, pts) = (MediaTime::from_millis(dts), MediaTime::from_millis(pts));
    AccessUnit { dts, pts, keyframe, data: data.into() }
}
