// Starts the real `weir` on free ports and stops it again.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.WEIR_BIN ?? fileURLToPath(new URL('../../target/debug/weir', import.meta.url));

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/// `port` 0 takes a free one. `env` overlays the configuration, as `WEIR_HTTP__LISTEN` does. It can always be reached by 127.0.0.1.
export async function startWeir({ host = '127.0.0.1', port = 0, env = {}, args = [] } = {}) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: \`cargo build --bin weir\`, or say where in WEIR_BIN`);
  const data = await mkdtemp(join(tmpdir(), 'weir-browser-'));
  const child = spawn(BINARY, ['--http-listen', `${host}:${port}`, '--webrtc-listen', `${host}:${port}`, '--rtmp-listen', '127.0.0.1:0', ...args], {
    env: { ...process.env, WEIR_DATA__DIR: data, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  const ended = new Promise((done) => child.once('exit', (code, signal) => { running.delete(child); done(code ?? signal); }));
  const taken = new Promise((done, fail) => {
    const read = (chunk) => {
      output += chunk;
      const found = output.match(/(https?):\/\/[^\s/]*?:(\d+)/);
      if (found) done({ scheme: found[1], port: Number(found[2]) });
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    ended.then((why) => fail(new Error(`weir ended at start (${why}):\n${output}`)));
    setTimeout(() => fail(new Error(`weir printed no URL within 15 s:\n${output}`)), 15000).unref();
  });
  const stop = async (signal = 'SIGTERM') => {
    child.kill(signal);
    const hung = setTimeout(() => child.kill('SIGKILL'), 20000);
    const why = await ended;
    clearTimeout(hung);
    await rm(data, { recursive: true, force: true });
    return why;
  };
  const { scheme, port: real } = await taken;
  // Loopback is answered in clear, whatever else is.
  await ready(`http://127.0.0.1:${real}/readyz`);
  const token = output.match(/^ *token +(\S+)$/m)?.[1];
  const origin = `${scheme}://127.0.0.1:${real}`;
  const { listeners } = await (await fetch(`${origin}/api/v1/server`)).json();
  const rtmpPort = Number(listeners.find((l) => l.key === 'rtmp.listen')?.address.split(':').at(-1));
  return {
    port: real,
    rtmpPort,
    /// Where an encoder publishes; through a tap if it has another port.
    rtmp: (stream, at = rtmpPort) => `rtmp://127.0.0.1:${at}/live/${stream}`,
    origin,
    pid: child.pid,
    output: () => output,
    whip: (stream) => `${origin}/whip/${stream}`,
    /// Where to publish, and with what: the token counts wherever the request comes from.
    publish: (stream) => ({ url: `${origin}/whip/${stream}`, token }),
    token,
    whep: (stream) => `${origin}/whep/${stream}`,
    stop,
    /// The API's view of a stream, null if it knows none of that name.
    async stream(name) {
      const reply = await fetch(`${origin}/api/v1/streams/${name}`);
      if (reply.status === 404) return null;
      if (!reply.ok) throw new Error(`stream ${name}: ${reply.status} ${await reply.text()}`);
      return reply.json();
    },
    async api(path, options) {
      const reply = await fetch(`${origin}/api/v1/${path}`, options);
      if (!reply.ok) throw new Error(`GET /api/v1/${path}: ${reply.status} ${await reply.text()}`);
      return reply.json();
    },
  };
}

/// Everything is printed and every socket open when this answers 200.
async function ready(url) {
  const end = Date.now() + 15000;
  for (;;) {
    const reply = await fetch(url).catch(() => null);
    if (reply?.ok) return;
    if (Date.now() > end) throw new Error(`${url}: ${reply?.status ?? 'no answer'}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
