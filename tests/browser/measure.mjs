// Measurements to read, not tests to pass: `npm run measure`. Each latency stands beside its floor: the same picture from one
// page straight to another with no server between, measured in the same run. Both without sound: with it Chromium holds pictures back
// until its audio buffer has caught up (some 50 ms, with or without a server); the watch page is measured that way, as people have it.

import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodes, startRig } from './rig.mjs';

const FRAMES = 600;
const JOINS = 20;
const CLOCK = fileURLToPath(new URL('lab/clock.js', import.meta.url));

test('measure', async () => {
  const rig = await startRig();
  const { weir } = rig;
  const rows = [];
  for (const [codec, width, height] of [['video/VP8', 640, 360], ['video/H264', 640, 360], ['video/H264', 1280, 720]]) {
    const name = `m-${codec.slice(6).toLowerCase()}-${height}`;
    const [from, to] = [await rig.lab('floor-publisher'), await rig.lab('floor-viewer')];
    await from.exposeFunction('direct', (sdp) => to.evaluate((sdp) => lab.answer({ sdp }), sdp));
    await from.evaluate((how) => lab.publish({ url: 'direct', sound: false, ...how }), { codec, width, height });
    const floor = await ages(to);
    await from.done();
    await to.done();

    const publisher = await rig.lab('publisher');
    await publisher.evaluate((how) => lab.publish({ sound: false, ...how }), { ...weir.publish(name), codec, width, height });
    const viewer = await rig.lab('viewer');
    await viewer.evaluate((url) => lab.watch({ url }), weir.whep(name));
    const through = await ages(viewer);
    await viewer.done();
    await publisher.evaluate(() => lab.leave('p'));
    await publisher.evaluate((how) => lab.publish(how), { ...weir.publish(name), codec, width, height });
    const watch = await rig.open(`${weir.origin}/watch/${name}`, { name: 'measure', init: { path: CLOCK } });
    await decodes(watch, { codec, width, height });
    const shown = await ages(watch);
    await watch.done();
    rows.push({ what: `WHIP→WHEP latency without sound, ms, ${codec.slice(6)} ${width}x${height}`, ...quantiles(through), floor: quantiles(floor) });
    rows.push({ what: 'on the watch page, with sound', ...quantiles(shown) });

    const joins = [];
    for (let i = 0; i < JOINS; i++) {
      const page = await rig.open(`${weir.origin}/watch/${name}`, { name: 'join', init: firstFrame });
      await page.waitForFunction(() => window.firstFrame);
      joins.push(await page.evaluate(() => window.firstFrame));
      await page.done();
    }
    rows.push({ what: `navigation to first frame, ms, ${codec.slice(6)} ${width}x${height}`, ...quantiles(joins.map((j) => j.page)) });
    rows.push({ what: 'of that, from the offer to first frame', ...quantiles(joins.map((j) => j.offer)) });
    await publisher.evaluate(() => lab.leave('p'));
    await publisher.done();
  }
  for (const { what, n, min, p50, p95, max, floor } of rows)
    console.log(`${what}: min ${min}  p50 ${p50}  p95 ${p95}  max ${max}  (n ${n})${floor ? `; floor min ${floor.min}  p50 ${floor.p50}  p95 ${floor.p95}` : ''}`);
});

/// Ages of the frames that a page shows, once the jitter buffer has settled.
const ages = (page) => page.evaluate(async (count) => {
  const video = document.querySelector('video:last-of-type');
  await clock.ages(video, 90);
  return clock.ages(video, count);
}, FRAMES);

function quantiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]);
  return { n: sorted.length, min: at(0), p50: at(0.5), p95: at(0.95), max: at(1) };
}

/// Runs in the page before its scripts: when the first frame is presented, since navigation and since the offer was made.
function firstFrame() {
  let offered;
  const createOffer = RTCPeerConnection.prototype.createOffer;
  RTCPeerConnection.prototype.createOffer = function (...args) {
    offered ??= performance.now();
    return createOffer.apply(this, args);
  };
  const look = () => {
    const video = document.querySelector('video');
    if (!video) return void requestAnimationFrame(look);
    video.requestVideoFrameCallback((now) => {
      window.firstFrame ??= { page: now, offer: now - offered };
    });
  };
  look();
}
