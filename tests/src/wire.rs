//! A network that lets nothing through but TCP: datagrams of a client come in by UDP and go out as frames (RFC 4571)
//! on a connection to the server, and back. A second opinion on frames, and a reader that can fall asleep.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the receiving side of the connection holds at most: a sleeper is noticed soon.
const HELD: u32 = 32 * 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    asleep: bool,
    cuts: usize,
}

/// One such network between one client and one server address.
#[derive(Debug)]
pub struct Wire {
    /// Where the client sends to.
    pub address: SocketAddr,
    orders: watch::Sender<Orders>,
    /// Connections that were made.
    made: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Connects to `server` with the client's first datagram.
    pub async fn new(server: SocketAddr) -> Self {
        let any = SocketAddr::new(server.ip(), 0);
        let front = UdpSocket::bind(any).await.expect("a free UDP port");
        let address = front.local_addr().expect("a bound socket has an address");
        let (orders, given) = watch::channel(Orders::default());
        let made = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(run(front, server, given, Arc::clone(&made)));
        Self { address, orders, made, task }
    }

    /// Nothing is read from the server, or it is again.
    pub fn sleep(&self, asleep: bool) {
        self.orders.send_modify(|orders| orders.asleep = asleep);
    }

    /// The connection ends; the client's next datagram makes another one.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// How many connections were made.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    front: UdpSocket,
    server: SocketAddr,
    mut orders: watch::Receiver<Orders>,
    made: Arc<AtomicUsize>,
) {
    let mut datagram = [0; 2048];
    loop {
        let Ok((len, client)) = front.recv_from(&mut datagram).await else { continue };
        let Ok(mut stream) = connect(server).await else { continue };
        made.fetch_add(1, Ordering::Relaxed);
        let cuts = orders.borrow_and_update().cuts;
        if stream.write_all(&frame(&datagram[..len])).await.is_ok() {
            carry(&front, client, stream, &mut orders, cuts).await;
        }
    }
}

async fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(HELD)?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Both ways, until the connection ends or is cut.
async fn carry(
    front: &UdpSocket,
    client: SocketAddr,
    mut stream: TcpStream,
    orders: &mut watch::Receiver<Orders>,
    cuts: usize,
) {
    let (mut reader, mut writer) = stream.split();
    let (mut datagram, mut bytes, mut kept) = ([0; 2048], [0; 4096], Vec::new());
    loop {
        let now = *orders.borrow_and_update();
        if now.cuts != cuts {
            return;
        }
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            got = front.recv_from(&mut datagram) => {
                let Ok((len, _)) = got else { continue };
                if writer.write_all(&frame(&datagram[..len])).await.is_err() {
                    return;
                }
            }
            read = reader.read(&mut bytes), if !now.asleep => {
                let Ok(count @ 1..) = read else { return };
                kept.extend_from_slice(&bytes[..count]);
                while let Some(datagram) = unframe(&mut kept) {
                    let _ = front.send_to(&datagram, client).await;
                }
            }
        }
    }
}

/// A datagram behind its length.
pub fn frame(datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(datagram.len()).expect("a datagram is shorter");
    [&length.to_be_bytes()[..], datagram].concat()
}

fn unframe(kept: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u16::from_be_bytes([*kept.first()?, *kept.get(1)?]);
    let end = 2 + usize::from(length);
    if kept.len() < end {
        return None;
    }
    let rest = kept.split_off(end);
    let datagram = std::mem::replace(kept, rest);
    Some(datagram[2..].to_vec())
}
