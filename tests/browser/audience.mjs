// How an audience by LL-HLS is looked at: by Weir's own watch page, with `lab/eye.js` in it.

import { fileURLToPath } from 'node:url';
import { sendTimes } from './tap.mjs';

export const EYE = ['clock', 'eye'].map((name) => ({ path: fileURLToPath(new URL(`lab/${name}.js`, import.meta.url)) }));

/// What was seen since `from`; see `lab/eye.js`.
export const seen = (page, from = 0) => page.evaluate((from) => eye.since(from), from);

/// Ages in ms of the pictures of a film, each from when its last byte left the encoder, by its tap.
export async function filmAges(frames, tap, count) {
  const sent = sendTimes(await tap.pictures(), count);
  return frames.map(([when, number]) => (number === null ? NaN : when - sent(number, when))).filter(Number.isFinite);
}

/// Ages in ms of pictures that carry the machine's clock.
export const clockAges = (frames) => frames.flatMap(([when, then]) => (then === null ? [] : [Math.round(when % 2 ** 32) - then]));

/// What a person calls a freeze: times without a new picture that are longer than this, `[when, ms]`.
export const freezes = (frames, ms = 250) => frames.slice(1).map(([when], i) => [when, Math.round(when - frames[i][0])]).filter(([, gap]) => gap > ms);

/// Those that are the player's own: not while the page itself was kept from running, by a machine that is busy with something else.
export const own = (gaps, stalls) => gaps.filter(([when, gap]) => !stalls.some(([at, long]) => at > when - gap - 100 && at < when + 200 && long > gap / 2));

export function quantiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN);
  return { n: sorted.length, min: at(0), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

export const line = ({ n, min, p50, p95, p99, max }) => `min ${min}  p50 ${p50}  p95 ${p95}  p99 ${p99}  max ${max} ms of ${n} pictures`;

/// Runs in the page before its scripts: no UDP path, as long as `window.blocked`. The answer names a port where nobody is.
export const blockUdp = () => {
  window.blocked = true;
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const { type, sdp } = description;
    return real.call(this, window.blocked ? { type, sdp: sdp.replace(/^(a=candidate:\S+ \d \S+ \d+ \S+) \d+/gm, '$1 9') } : description);
  };
};
