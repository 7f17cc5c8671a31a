// A tap on an encoder's RTMP connection: a TCP relay that notes when the last byte of each picture came out of the encoder. So a latency begins
// when the encoder has sent a picture, whatever it did before, and whatever encoder it is.
//
// It reads the chunk stream of the client (Adobe's RTMP 1.0, section 5.3) as far as that needs, in a thread of its own; bytes go on before they are
// read. Times are milliseconds since 1970, by the clock that the pages of the browser have.

import { connect, createServer } from 'node:net';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

/// Relays between whoever connects to `port` of the result and `target`, a port, both on 127.0.0.1.
export async function startTap({ target }) {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { target } });
  const waiting = [];
  worker.on('message', (message) => waiting.shift()?.done(message));
  worker.on('error', (error) => waiting.splice(0).forEach(({ fail }) => fail(error)));
  const next = () => new Promise((done, fail) => waiting.push({ done, fail }));
  const { port } = await next();
  return {
    port,
    /// All pictures so far of the last connection: `{ at, dts, pts, key, size }`, in the order in which they were sent.
    async pictures() {
      worker.postMessage('pictures');
      return next();
    },
    stop: () => worker.terminate(),
  };
}

/// When the picture was sent that a viewer shows: `pictures` of a tap, of a film of so many `frames` that was published from its beginning on.
/// Gives a function from the number in the picture and the time when it was shown to the time when it was sent.
export function sendTimes(pictures, frames) {
  const times = new Map();
  pictures.toSorted((a, b) => a.pts - b.pts).forEach(({ at }, i) => {
    const number = i % frames;
    times.set(number, [...(times.get(number) ?? []), at]);
  });
  return (number, shown) => times.get(number)?.findLast((at) => at <= shown);
}

/// Takes bytes, notes pictures.
class Reader {
  pictures = [];
  #bytes = Buffer.alloc(0);
  #handshake = 1 + 1536 + 1536;
  #size = 128;
  #flows = new Map();

  read(bytes, at) {
    const skip = Math.min(this.#handshake, bytes.length);
    this.#handshake -= skip;
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(skip)]);
    for (let used = this.#chunk(at); used; used = this.#chunk(at)) this.#bytes = this.#bytes.subarray(used);
  }

  /// How long the first chunk is, 0 until it is whole.
  #chunk(now) {
    const b = this.#bytes;
    const short = b[0] & 0x3f;
    let at = short === 0 ? 2 : short === 1 ? 3 : 1;
    if (b.length < at) return 0;
    const id = short === 0 ? 64 + b[1] : short === 1 ? 64 + b[1] + 256 * b[2] : short;
    const format = b[0] >> 6;
    const header = [11, 7, 3, 0][format];
    if (b.length < at + header) return 0;
    const flow = { time: 0, step: 0, length: 0, kind: 0, extended: false, parts: [], have: 0, ...this.#flows.get(id) };
    let time = flow.step;
    if (format < 3) {
      time = b.readUIntBE(at, 3);
      flow.extended = time === 0xffffff;
    }
    if (format < 2) [flow.length, flow.kind] = [b.readUIntBE(at + 3, 3), b[at + 6]];
    at += header;
    if (flow.extended) {
      if (b.length < at + 4) return 0;
      time = b.readUInt32BE(at);
      at += 4;
    }
    const part = Math.min(flow.length - flow.have, this.#size);
    if (b.length < at + part) return 0;
    if (!flow.have) {
      flow.step = time;
      flow.time = format === 0 ? time : (flow.time + time) % 2 ** 32;
    }
    // The first bytes of a message say all that is asked here.
    flow.parts = flow.have ? flow.parts : Buffer.from(b.subarray(at, at + Math.min(part, 16)));
    flow.have += part;
    if (flow.have === flow.length) {
      this.#message(flow, now);
      flow.have = 0;
    }
    this.#flows.set(id, flow);
    return at + part;
  }

  #message({ kind, time, length, parts: head }, at) {
    if (kind === 1) this.#size = head.readUInt32BE(0);
    if (kind !== 9 || head.length < 5) return;
    const enhanced = head[0] & 0x80;
    const type = enhanced ? head[0] & 0x0f : head[1];
    // Enhanced RTMP: CodedFrames of HEVC and AVC have a composition time behind the FourCC, others and CodedFramesX have none.
    const coded = enhanced ? type === 1 || type === 3 : type === 1;
    if (!coded) return;
    const timed = enhanced ? type === 1 && /^(hvc1|avc1)/.test(head.toString('latin1', 1, 5)) : true;
    const composition = timed ? head.readIntBE(enhanced ? 5 : 2, 3) : 0;
    this.pictures.push({ at, dts: time, pts: time + composition, key: ((head[0] >> 4) & 7) === 1, size: length });
  }
}

/// The thread.
function serve({ target }) {
  let reader = new Reader();
  const now = () => performance.timeOrigin + performance.now();
  const server = createServer({ noDelay: true }, (front) => {
    const mine = new Reader();
    reader = mine;
    const back = connect({ port: target, host: '127.0.0.1', noDelay: true });
    front.on('data', (bytes) => {
      const at = now();
      back.write(bytes);
      mine.read(bytes, at);
    });
    back.on('data', (bytes) => front.write(bytes));
    for (const [one, other] of [[front, back], [back, front]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.end());
    }
  });
  parentPort.on('message', () => parentPort.postMessage(reader.pictures));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }));
}

if (!isMainThread && workerData?.target) serve(workerData);
