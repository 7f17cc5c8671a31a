// A small LL-HLS origin of the tests' own, so that the page's player can be tried against something that is not Weir: FFmpeg cuts films into
// fragments as if they were live, and each fragment is a part. Blocking reload, preload hints, program date time; sound is in with the pictures.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';

const PART = 0.2;
/// Parts of a segment: the films have a keyframe every two seconds.
const PARTS = 10;
/// Segments in the playlist.
const WINDOW = 12;

/// Shows films of `film.mjs`, `[{ path, by, width, height }]`, each as a rendition `v0`, `v1` …; all of the same beginning and keyframes.
export async function startOrigin(films) {
  const renditions = films.map((film) => new Rendition(film));
  const requests = [];
  const http = createServer((request, reply) => {
    requests.push(request.url);
    answer(renditions, request, reply).catch(() => reply.destroy());
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${http.address().port}/live/film/index.m3u8`,
    requests,
    async close() {
      renditions.forEach((one) => one.child.kill('SIGKILL'));
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    },
  };
}

/// What FFmpeg makes of one film.
class Rendition {
  init = null;
  segments = [];
  #waiting = new Set();
  #bytes = Buffer.alloc(0);
  #boxes = [];
  #count = 0;

  constructor({ path, by, width, height }) {
    Object.assign(this, { width, height });
    this.child = spawn(by, ['-hide_banner', '-nostdin', '-loglevel', 'error', '-re', '-stream_loop', '-1', '-i', path, '-c', 'copy', '-f', 'mp4',
      '-movflags', 'empty_moov+default_base_moof+frag_keyframe+skip_trailer', '-frag_duration', String(PART * 1e6), '-flush_packets', '1', 'pipe:1'],
    { stdio: ['ignore', 'pipe', 'inherit'] });
    process.on('exit', () => this.child.kill('SIGKILL'));
    this.child.stdout.on('data', (chunk) => this.#take(chunk));
  }

  /// MP4 boxes: what comes before the first `moof` is the init segment, each `moof` with its `mdat` a part.
  #take(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const size = this.#bytes.length >= 8 ? this.#bytes.readUInt32BE(0) : 0;
      if (size < 8 || this.#bytes.length < size) return;
      const kind = this.#bytes.toString('latin1', 4, 8);
      if (kind === 'moof' && !this.init) this.init = Buffer.concat(this.#boxes.splice(0));
      this.#boxes.push(this.#bytes.subarray(0, size));
      this.#bytes = this.#bytes.subarray(size);
      if (kind === 'mdat') this.#part(Buffer.concat(this.#boxes.splice(0)));
    }
  }

  #part(bytes) {
    const number = this.#count++;
    if (number % PARTS === 0) this.segments.push({ msn: 1 + number / PARTS, at: Date.now() - PART * 1000, parts: [] });
    this.segments.at(-1).parts.push(bytes);
    if (this.segments.length > WINDOW) this.segments.shift();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /// Waits until the part is there; without a number, the whole segment.
  async has(msn, part = PARTS - 1) {
    for (;;) {
      const last = this.segments.at(-1);
      if (last && (last.msn > msn || (last.msn === msn && last.parts.length > part))) return;
      await new Promise((done) => this.#waiting.add(done));
    }
  }

  playlist(name) {
    const { segments } = this;
    const lines = ['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-TARGETDURATION:2', `#EXT-X-PART-INF:PART-TARGET=${PART}`,
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${3 * PART},HOLD-BACK=6`, `#EXT-X-MEDIA-SEQUENCE:${segments[0].msn}`,
      `#EXT-X-MAP:URI="${name}-init.mp4"`];
    segments.forEach(({ msn, at, parts }, i) => {
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(at).toISOString()}`);
      const shown = i >= segments.length - 3 ? parts : [];
      shown.forEach((_, n) => lines.push(`#EXT-X-PART:DURATION=${PART},URI="${name}-${msn}.${n}.m4s"${n ? '' : ',INDEPENDENT=YES'}`));
      if (parts.length === PARTS) lines.push(`#EXTINF:${PART * PARTS},`, `${name}-${msn}.m4s`);
    });
    const last = segments.at(-1);
    const next = last.parts.length === PARTS ? `${last.msn + 1}.0` : `${last.msn}.${last.parts.length}`;
    return [...lines, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${name}-${next}.m4s"`, ''].join('\n');
  }
}

async function answer(renditions, request, reply) {
  const { pathname, searchParams } = new URL(request.url, 'http://origin');
  const cors = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': 'Date, Age' };
  const send = (type, body) => reply.writeHead(200, { ...cors, 'Content-Type': type }).end(body);
  const text = (body) => send('application/vnd.apple.mpegurl', body);
  if (pathname === '/live/film/index.m3u8') {
    await Promise.all(renditions.map((one) => one.has(1, 0)));
    const lines = renditions.map(({ width, height }, i) => `#EXT-X-STREAM-INF:BANDWIDTH=${width * height * 4},CODECS="avc1.64001f,mp4a.40.2",`
      + `RESOLUTION=${width}x${height},FRAME-RATE=30\nv${i}.m3u8`);
    return text(['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-INDEPENDENT-SEGMENTS', ...lines, ''].join('\n'));
  }
  const [, name, rest] = /^\/live\/film\/(v\d)(.*)$/.exec(pathname) ?? [];
  const rendition = renditions[Number(name?.slice(1))];
  if (!rendition) return reply.writeHead(404, cors).end();
  if (rest === '.m3u8') {
    const [msn, part] = ['_HLS_msn', '_HLS_part'].map((key) => searchParams.get(key));
    if (msn !== null) await rendition.has(Number(msn), part === null ? undefined : Number(part));
    return text(rendition.playlist(name));
  }
  if (rest === '-init.mp4') return send('video/mp4', rendition.init);
  const [, msn, part] = /^-(\d+)(?:\.(\d+))?\.m4s$/.exec(rest) ?? [];
  if (msn === undefined) return reply.writeHead(404, cors).end();
  await rendition.has(Number(msn), part === undefined ? undefined : Number(part));
  const segment = rendition.segments.find((one) => one.msn === Number(msn));
  if (!segment) return reply.writeHead(404, cors).end();
  send('video/mp4', part === undefined ? Buffer.concat(segment.parts) : segment.parts[Number(part)]);
}
