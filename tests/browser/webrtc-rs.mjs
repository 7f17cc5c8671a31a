// A publisher by webrtc-rs in a process of its own (`src/bin/webrtc-publisher.rs`), which can be killed, and cut off from the network; and a viewer
// (`src/bin/webrtc-viewer.rs`).

import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const BINARY = process.env.WEIR_TEST_PUBLISHER ?? fileURLToPath(new URL('../../target/debug/webrtc-publisher', import.meta.url));
const VIEWER = process.env.WEIR_TEST_VIEWER ?? fileURLToPath(new URL('../../target/debug/webrtc-viewer', import.meta.url));

const args = ({ codec, width, height, kbps }) => [codec, `${width}x${height}`, String(kbps)];

/// Makes the clip of such a publisher, if it is not there yet: later its start costs no encoding.
export async function prepare(clip) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: \`cargo build -p tests --bins\`, or say where in WEIR_TEST_PUBLISHER`);
  await promisify(execFile)(BINARY, ['-', ...args(clip)]);
}

/// Publishes a clip of `codec` ('vp8', 'h264', …) with sound until it is killed or told to `leave`.
export function publish(url, clip) {
  const child = spawn(BINARY, [url, ...args(clip)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const keyframes = [];
  let log = '';
  let waiting = [];
  const note = () => {
    const seen = waiting;
    waiting = [];
    for (const wake of seen) wake();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [what, when] = line.split(' ');
    if (what === 'keyframe') keyframes.push(Number(when));
    note();
  });
  child.stderr.on('data', (chunk) => { log = (log + chunk).slice(-20000); });
  const ended = new Promise((done) => child.once('exit', (code, signal) => { done(code ?? signal); note(); }));
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  ended.then(() => process.off('exit', kill));
  return {
    log: () => log,
    ended,
    /// When it sent its first keyframe after `since`.
    async keyframe(since = 0, ms = 20000) {
      const end = Date.now() + ms;
      for (;;) {
        const found = keyframes.find((when) => when >= since);
        if (found) return found;
        if (child.exitCode !== null || child.signalCode || Date.now() > end) throw new Error(`no keyframe of webrtc-rs:\n${log}`);
        await Promise.race([new Promise((wake) => waiting.push(wake)), new Promise((done) => setTimeout(done, 1000))]);
      }
    },
    /// `cut`, `heal` or `leave`, see there.
    tell: (what) => child.stdin.write(`${what}\n`),
    async kill(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/// Watches `codec` ('vp8', 'h264', …) for two seconds; gives how many pictures were decoded.
export async function watch(url, codec) {
  const { stdout } = await promisify(execFile)(VIEWER, [url, codec], { timeout: 40000 });
  return Number(stdout);
}
