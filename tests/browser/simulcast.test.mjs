// Simulcast: three layers of one publisher, each really shown to a viewer that asks for it.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, inbound, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;
const LAYERS = [['q', 320, 180], ['h', 640, 360], ['f', 1280, 720]];

const live = (name) => until(`all three layers of ${name} arrive`, async () => {
  const { tracks } = await weir.api(`streams/${name}`);
  const encodings = tracks.find((t) => t.kind === 'video')?.encodings ?? [];
  const said = LAYERS.map(([id, width, height]) => encodings.find((e) => e.id === id && e.active && e.width === width && e.height === height));
  return said.every(Boolean) ? encodings : Promise.reject(new Error(JSON.stringify(encodings)));
}, 40000);

for (const [codec, mime] of [['vp8', 'video/VP8'], ['h264', 'video/H264'], ['vp9', 'video/VP9'], ['av1', 'video/AV1']]) {
  test(`${codec}: the watch page's menu shows each layer`, async () => {
    const name = `simulcast-${codec}`;
    const publish = await rig.open(`${weir.origin}/publish/${name}?codec=${codec}&width=1280&height=720&simulcast=1&prefer=resolution&auto=1`, { name: `${name}-publish` });
    const encodings = await live(name);
    assert.deepEqual(encodings.map((e) => e.id), ['f', 'h', 'q'], 'best first');
    const watch = await rig.open(`${weir.origin}/watch/${name}`, { name });
    await shows(watch, 'playing');
    // The highest by default.
    await decodes(watch, { codec: mime, width: 1280, height: 720 });
    for (const [id, width, height] of [...LAYERS, LAYERS[0]]) {
      await choose(watch, id);
      const video = await decodes(watch, { codec: mime, width, height }, 15000);
      assert.equal(video.packetsLost, 0, `sequence numbers continue at the switch to ${id}`);
      const [viewer] = await weir.api(`streams/${name}/viewers`);
      assert.equal(viewer.layer, id);
      await watch.shot(`${name}-${id}`);
    }
    await choose(watch, null);
    await decodes(watch, { codec: mime, width: 1280, height: 720 }, 15000);
    assert.equal(await watch.evaluate(() => connections.length), 1, 'one peer connection');
    const { video } = await inbound(watch);
    assert.equal(video.packetsLost, 0);
    clean(publish, watch);
    await publish.shot();
    await watch.done();
    await publish.done();
  });
}

test('a layer that falls silent moves its viewers, and back', async () => {
  const publisher = await rig.lab('silent-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/VP8', width: 1280, height: 720, layers: 3 }), weir.publish('silent'));
  await live('silent');
  const watch = await rig.open(`${weir.origin}/watch/silent`, { name: 'silent' });
  await decodes(watch, { width: 1280, height: 720 });
  const turn = (active) => publisher.evaluate((active) => lab.turn('p', 'f', active), active);
  await turn(false);
  const left = await longestGap(watch, 640);
  await turn(true);
  const back = await longestGap(watch, 1280);
  console.log(`longest time without a new picture: ${left} ms as the layer fell silent, ${back} ms as it came back`);
  assert.ok(left < 2000, `${left} ms without a picture`);
  assert.ok(back < 1000, `${back} ms without a picture`);
  const { video } = await inbound(watch);
  assert.equal(video.packetsLost, 0);
  clean(publisher, watch);
  await publisher.done();
  await watch.done();
});

/// The longest time in ms between two pictures until the video is this wide.
const longestGap = (watch, width) => watch.evaluate((width) => new Promise((done, fail) => {
  const video = document.querySelector('video');
  let longest = 0;
  let last = performance.now();
  const late = setTimeout(() => fail(new Error(`still ${video.videoWidth} wide after 20 s; longest gap ${longest} ms`)), 20000);
  video.requestVideoFrameCallback(function look(now, frame) {
    longest = Math.max(longest, now - last);
    last = now;
    if (frame.width !== width) return void video.requestVideoFrameCallback(look);
    clearTimeout(late);
    done(Math.round(longest));
  });
}), width);

/// Chooses a layer as a person does: in the page's menu. `null`: back to the highest.
async function choose(watch, id) {
  await watch.hover('video');
  await watch.getByLabel('Layer').selectOption(id ?? '');
}
