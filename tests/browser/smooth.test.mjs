// A minute of a watch page without one freeze.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, inbound, shows, startRig } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;
const SECONDS = 60;

test(`no freeze in ${SECONDS} s`, async () => {
  const publish = await rig.open(`${weir.origin}/publish/smooth?codec=h264&width=640&height=360&prefer=resolution&auto=1`, { name: 'smooth-publish' });
  const watch = await rig.open(`${weir.origin}/watch/smooth`, { name: 'smooth' });
  await shows(watch, 'playing');
  const start = await decodes(watch, { codec: 'video/H264', width: 640, height: 360 });
  // How long either page was kept from running at all: a machine busy with something else freezes pictures too.
  for (const page of [publish, watch]) await page.evaluate(watchStalls);
  // The minute itself is what is tested.
  await new Promise((done) => setTimeout(done, SECONDS * 1000));
  const { video: end, audio } = await inbound(watch);
  const seconds = (end.timestamp - start.timestamp) / 1000;
  const fps = (end.framesDecoded - start.framesDecoded) / seconds;
  console.log(`${seconds.toFixed(1)} s, ${fps.toFixed(1)} frames/s decoded, ${end.freezeCount} freezes, ${end.framesDropped} dropped, `
    + `${end.packetsLost} lost, jitter buffer ${mean(end, 'jitterBufferDelay')} ms, ${mean(end, 'jitterBufferMinimumDelay')} ms without lip-sync`);
  const stalls = await Promise.all([publish, watch].map((page) => page.evaluate(() => window.longestStall)));
  assert.equal(end.freezeCount, 0, `freezes since the page was opened; the machine kept the publisher from running for up to ${stalls[0]} ms, the viewer ${stalls[1]} ms`);
  assert.equal(end.packetsLost, 0);
  assert.ok(fps > 28, `${fps} frames/s of 30`);
  assert.ok(audio.concealedSamples / audio.totalSamplesReceived < 0.01, `${audio.concealedSamples} of ${audio.totalSamplesReceived} samples concealed`);
  await watch.shot();
  clean(publish, watch);
});

const mean = (video, what) => ((1000 * video[what]) / video.jitterBufferEmittedCount).toFixed(0);

/// Runs in the page: the longest time by which a 20 ms timer came late.
function watchStalls() {
  let last = performance.now();
  window.longestStall = 0;
  setInterval(() => {
    const now = performance.now();
    window.longestStall = Math.max(window.longestStall, Math.round(now - last - 20));
    last = now;
  }, 20);
}
