// Viewer first, then publishers that come, go and differ: one peer connection through all of it.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;

test('one peer connection waits, then shows VP8, then H264 of another size', async () => {
  const watch = await rig.open(`${weir.origin}/watch/switch`, { name: 'switch' });
  await shows(watch, 'waiting');
  await watch.shot('switch-waiting');
  const stream = await weir.api('streams/switch');
  assert.equal(stream.state, 'idle');
  assert.equal(stream.viewers.whep, 1);

  const publisher = await rig.lab('switch-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/VP8', width: 640, height: 360, hue: 200 }), weir.publish('switch'));
  await shows(watch, 'playing');
  const first = await decodes(watch, { codec: 'video/VP8', width: 640, height: 360 });
  await watch.shot('switch-vp8');
  assert.equal(await publisher.evaluate(() => lab.leave('p')), 200);
  await until('the page says that nobody publishes', async () => (await watch.evaluate(() => document.documentElement.dataset.state)) !== 'playing');

  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/H264', width: 480, height: 270, hue: 20 }), weir.publish('switch'));
  await shows(watch, 'playing');
  const second = await decodes(watch, { codec: 'video/H264', width: 480, height: 270 });
  await watch.shot('switch-h264');

  assert.ok(second.framesDecoded > first.framesDecoded, 'the second publisher continues the first one\'s track');
  assert.equal(second.ssrc, first.ssrc, 'one SSRC for the viewer');
  assert.equal(await watch.evaluate(() => connections.length), 1, 'one peer connection, no reload');
  assert.equal(await watch.evaluate(() => connections[0].connectionState), 'connected');
  const shown = await watch.evaluate(() => [document.querySelector('video').videoWidth, document.querySelector('video').videoHeight]);
  assert.deepEqual(shown, [480, 270], 'what the element shows');
  clean(watch, publisher);
  await publisher.done();
  await watch.done();
});

test('a publisher that reloads its page comes back to the same viewers', async () => {
  const publish = await rig.open(`${weir.origin}/publish/reload?codec=vp8&width=640&height=360&auto=1`, { name: 'reload-publisher' });
  const watch = await rig.open(`${weir.origin}/watch/reload`, { name: 'reload' });
  const before = await decodes(watch, { codec: 'video/VP8' });
  await publish.reload();
  const after = await until('frames of the second time', async () => {
    const now = await decodes(watch, { codec: 'video/VP8' });
    return now.framesDecoded > before.framesDecoded + 60 ? now : null;
  }, 30000);
  assert.equal(after.ssrc, before.ssrc);
  assert.equal(await watch.evaluate(() => connections.length), 1, 'the viewer stayed');
  clean(publish, watch);
  await publish.done();
  await watch.done();
});
