// A link to the server for one viewer: a UDP relay of limited rate, with a delay each way and a queue that drops what no longer fits.
//
// The model: a datagram of n bytes, with its IPv4 and UDP headers, leaves the queue when all before it have and n·8/rate seconds more have
// passed, and arrives `delay` later. When each is due is reckoned exactly, from the time of its arrival, not from when a timer
// fired: an error of one does not move the next. A timer of Node's lets it go at its due time or up to about a millisecond later (a
// datagram of 1,200 bytes takes 6 ms at 1.6 Mbit/s, and 3 ms at 3), later still if the machine is busy: `stats` says by how much.
// It runs in a thread of its own, so that nothing else in the test makes it late.

import { createSocket } from 'node:dgram';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

const HEADERS = 28;

/// Relays between whoever sends to `port` of the result and `target`, both on 127.0.0.1. `rate` in bit/s, `delay` in ms, `queue` in bytes,
/// the same in both directions.
export async function startLink({ target, rate, delay = 20, queue = 125000 }) {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { target, rate, delay, queue } });
  const waiting = [];
  worker.on('message', (message) => waiting.shift()?.done(message));
  worker.on('error', (error) => waiting.splice(0).forEach(({ fail }) => fail(error)));
  const next = () => new Promise((done, fail) => waiting.push({ done, fail }));
  const { port } = await next();
  return {
    port,
    rate,
    /// Since the last call, in the direction of the viewer: datagrams and bytes carried, datagrams dropped, the longest that the queue was
    /// in ms, and how late a timer let datagrams go, in ms.
    async stats() {
      worker.postMessage('stats');
      return next();
    },
    /// Cut, nothing passes any more in either direction, and nobody is told.
    cut: (off) => worker.postMessage({ cut: off }),
    /// Does as a NAT that has forgotten the client: from another port to the server.
    rebind: () => worker.postMessage('rebind'),
    stop: () => worker.terminate(),
  };
}

/// One direction. `send` is called with each datagram when it is due.
function pipe({ rate, delay, queue }, send) {
  const waiting = [];
  let free = 0; // When the last datagram in the queue will have left it.
  let timer = null;
  let counts = fresh();
  const release = () => {
    const now = performance.now();
    while (waiting.length && waiting[0].due <= now) {
      const { due, datagram } = waiting.shift();
      counts.late.push(now - due);
      send(datagram);
    }
    timer = waiting.length ? setTimeout(release, Math.max(1, Math.ceil(waiting[0].due - now))) : null;
  };
  return {
    push(datagram) {
      const now = performance.now();
      const backlog = Math.max(0, free - now);
      const size = datagram.length + HEADERS;
      if ((backlog * rate) / 8000 + size > queue) {
        counts.dropped++;
        return;
      }
      free = now + backlog + (size * 8000) / rate;
      counts.carried++;
      counts.bytes += size;
      counts.longest = Math.max(counts.longest, backlog);
      waiting.push({ due: free + delay, datagram });
      timer ??= setTimeout(release, Math.ceil(free + delay - now));
    },
    take() {
      const { late, ...rest } = counts;
      counts = fresh();
      late.sort((a, b) => a - b);
      return { ...rest, longest: Math.round(rest.longest), late: { p50: late[late.length >> 1] ?? 0, max: late.at(-1) ?? 0 } };
    },
  };
}

const fresh = () => ({ carried: 0, bytes: 0, dropped: 0, longest: 0, late: [] });

/// The thread: `front` is where the viewer sends, `back` is what the server sees.
function serve({ target, ...link }) {
  const front = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  let back = null;
  let viewer = null;
  let cut = false;
  const up = pipe(link, (datagram) => cut || back.send(datagram, target, '127.0.0.1'));
  const down = pipe(link, (datagram) => !cut && viewer && front.send(datagram, viewer.port, viewer.address));
  front.on('message', (datagram, from) => {
    viewer = from;
    up.push(datagram);
  });
  const rebind = () => {
    back?.close();
    back = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    back.on('message', (datagram) => down.push(datagram));
    back.bind(0, '127.0.0.1');
  };
  parentPort.on('message', (wish) => {
    if (wish === 'stats') parentPort.postMessage(down.take());
    else if (wish === 'rebind') rebind();
    else cut = wish.cut;
  });
  rebind();
  front.bind(0, '127.0.0.1', () => parentPort.postMessage({ port: front.address().port }));
}

if (!isMainThread && workerData?.target) serve(workerData);
