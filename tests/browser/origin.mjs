// A small LL-HLS origin of the tests' own, so that the page's player can be tried against something that is not Weir: FFmpeg cuts a film into
// fragments as it would be live, and each fragment is a part. Blocking reload, preload hints, program date time; one rendition with its sound in it.

import { createServer } from 'node:http';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const PART = 0.2;
/// Parts of a segment: films have a keyframe every two seconds.
const PARTS = 10;
/// Segments in the playlist.
const WINDOW = 12;

/// Shows a film of `film.mjs`. `missing`: answers 404 as long as that is true.
export async function startOrigin({ path, by }) {
  const state = { init: null, segments: [], missing: false, requests: [], waiting: new Set() };
  const child = spawn(by, ['-hide_banner', '-nostdin', '-loglevel', 'error', '-re', '-stream_loop', '-1', '-i', path, '-c', 'copy', '-f', 'mp4',
    '-movflags', 'empty_moov+default_base_moof+frag_keyframe+skip_trailer', '-frag_duration', String(PART * 1e6), '-flush_packets', '1', 'pipe:1'],
  { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill('SIGKILL'));
  cut(child.stdout, state);
  const http = createServer((request, reply) => answer(state, request, reply));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const origin = `http://127.0.0.1:${http.address().port}`;
  return {
    state,
    url: `${origin}/live/film/index.m3u8`,
    async close() {
      child.kill('SIGKILL');
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    },
  };
}

/// MP4 boxes from FFmpeg: what comes before the first `moof` is the init segment, each `moof` with its `mdat` a part.
function cut(stream, state) {
  let bytes = Buffer.alloc(0);
  let head = [];
  let count = 0;
  stream.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const size = bytes.length >= 8 ? bytes.readUInt32BE(0) : 0;
      if (size < 8 || bytes.length < size) return;
      const [box, kind] = [bytes.subarray(0, size), bytes.toString('latin1', 4, 8)];
      bytes = bytes.subarray(size);
      if (kind === 'moof' && !state.init) {
        state.init = Buffer.concat(head);
        head = [];
      }
      head.push(box);
      if (kind !== 'mdat') continue;
      const at = Date.now() - PART * 1000;
      if (count++ % PARTS === 0) state.segments.push({ msn: count / PARTS + 1 | 0, at, parts: [] });
      state.segments.at(-1).parts.push(Buffer.concat(head));
      if (state.segments.length > WINDOW) state.segments.shift();
      head = [];
      for (const wake of [...state.waiting]) wake();
    }
  });
}

const there = (state, msn, part) => {
  const last = state.segments.at(-1);
  return last && (last.msn > msn || (last.msn === msn && last.parts.length > part));
};

/// Waits until the part is there.
async function arrival(state, msn, part) {
  while (!there(state, msn, part)) {
    await new Promise((done) => {
      const wake = () => { state.waiting.delete(wake); done(); };
      state.waiting.add(wake);
    });
  }
}

async function answer(state, request, reply) {
  const { pathname, searchParams } = new URL(request.url, 'http://origin');
  state.requests.push(request.url);
  const cors = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': 'Date, Age' };
  const send = (type, body) => reply.writeHead(200, { ...cors, 'Content-Type': type }).end(body);
  if (state.missing || !pathname.startsWith('/live/film/') || !state.init) return reply.writeHead(404, cors).end();
  const name = pathname.slice('/live/film/'.length);
  const file = /^(\d+)(?:\.(\d+))?\.m4s$/.exec(name);
  if (name === 'index.m3u8') {
    return send('application/vnd.apple.mpegurl', '#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n'
      + '#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30\nv0.m3u8\n');
  }
  if (name === 'v0.m3u8') {
    if (searchParams.has('_HLS_msn')) await arrival(state, Number(searchParams.get('_HLS_msn')), Number(searchParams.get('_HLS_part') ?? PARTS - 1));
    return send('application/vnd.apple.mpegurl', playlist(state));
  }
  if (name === 'init.mp4') return send('video/mp4', state.init);
  if (!file) return reply.writeHead(404, cors).end();
  const [msn, part] = [Number(file[1]), file[2] === undefined ? null : Number(file[2])];
  await arrival(state, msn, part ?? PARTS - 1);
  const segment = state.segments.find((one) => one.msn === msn);
  if (!segment) return reply.writeHead(404, cors).end();
  send('video/mp4', part === null ? Buffer.concat(segment.parts) : segment.parts[part]);
}

function playlist({ segments }) {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-TARGETDURATION:2', `#EXT-X-PART-INF:PART-TARGET=${PART}`,
    `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${3 * PART},HOLD-BACK=6`, `#EXT-X-MEDIA-SEQUENCE:${segments[0].msn}`, '#EXT-X-MAP:URI="init.mp4"'];
  segments.forEach(({ msn, at, parts }, i) => {
    const whole = parts.length === PARTS;
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(at).toISOString()}`);
    if (i >= segments.length - 3) parts.forEach((_, n) => lines.push(`#EXT-X-PART:DURATION=${PART},URI="${msn}.${n}.m4s"${n ? '' : ',INDEPENDENT=YES'}`));
    if (whole) lines.push(`#EXTINF:${PART * PARTS},`, `${msn}.m4s`);
  });
  const last = segments.at(-1);
  const next = last.parts.length === PARTS ? `${last.msn + 1}.0` : `${last.msn}.${last.parts.length}`;
  lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${next}.m4s"`);
  return `${lines.join('\n')}\n`;
}
