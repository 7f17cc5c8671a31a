// The API's counters against Chromium's own for the same sessions, both at rest: within 1 %.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;

test('packets and bytes, publisher and viewer', async () => {
  const publisher = await rig.lab('counters-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/VP8', width: 1280, height: 720 }), weir.publish('counters'));
  const viewer = await rig.lab('counters-viewer');
  await viewer.evaluate((url) => lab.watch({ url }), weir.whep('counters'));
  await decodes(viewer, { codec: 'video/VP8', width: 1280, height: 720 });
  // Chromium counts the few padding packets of its bandwidth probes among the sent ones and says nowhere how many; Weir does not
  // count padding. They are a fixed number, so that a long enough session shows who is right.
  const enough = 4000;
  await until('enough packets', async () => (await browser(viewer, 'v', 'inbound-rtp')).video.packetsReceived > enough, 60000);

  await publisher.evaluate(() => lab.hush('p'));
  const read = async () => ({
    stream: await weir.api('streams/counters'),
    viewers: await weir.api('streams/counters/viewers'),
    sent: await browser(publisher, 'p', 'outbound-rtp'),
    received: await browser(viewer, 'v', 'inbound-rtp'),
  });
  let before;
  const now = await until('all counters at rest', async () => {
    const next = await read();
    const key = (r) => JSON.stringify([r.stream.tracks.map((t) => t.packets ?? t.encodings.map((e) => e.packets)), r.viewers[0].packets,
      r.sent.video.packetsSent, r.sent.audio.packetsSent, r.received.video.packetsReceived, r.received.audio.packetsReceived]);
    const same = before && key(before) === key(next);
    before = next;
    if (!same) await new Promise((done) => setTimeout(done, 1500)); // getStats is cached, the API counts per second
    return same ? next : null;
  });

  const ours = {
    video: now.stream.tracks.find((t) => t.kind === 'video').encodings[0],
    audio: now.stream.tracks.find((t) => t.kind === 'audio'),
  };
  const { sent, received } = now;
  near('video packets in', ours.video.packets, sent.video.packetsSent - sent.video.retransmittedPacketsSent);
  near('video bytes in', ours.video.bytes, sent.video.bytesSent - sent.video.retransmittedBytesSent);
  near('audio packets in', ours.audio.packets, sent.audio.packetsSent);
  near('audio bytes in', ours.audio.bytes, sent.audio.bytesSent);
  const plain = (of) => received.video[of] - (received.video[`retransmitted${of[0].toUpperCase()}${of.slice(1)}`] ?? 0) + received.audio[of];
  near('packets to the viewer', now.viewers[0].packets, plain('packetsReceived'));
  near('bytes to the viewer', now.viewers[0].bytes, plain('bytesReceived'));
  assert.equal(now.stream.viewers.whep, 1);
  clean(publisher, viewer);
});

function near(what, ours, browser) {
  console.log(`${what}: ${ours} by the API, ${browser} by Chromium (${((100 * (ours - browser)) / browser).toFixed(2)} %)`);
  assert.ok(Math.abs(ours - browser) <= browser / 100, `${what}: ${ours} by the API, ${browser} by Chromium`);
}

async function browser(page, id, type) {
  const all = await page.evaluate((id) => lab.stats(id), id);
  return Object.fromEntries(all.filter((r) => r.type === type).map((r) => [r.kind, r]));
}
