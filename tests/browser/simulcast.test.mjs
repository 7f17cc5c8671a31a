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

for (const [codec, mime] of [['vp8', 'video/VP8'], ['h264', 'video/H264']]) {
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

/// Chooses a layer as a person does: in the page's menu. `null`: back to the highest.
async function choose(watch, id) {
  await watch.hover('video');
  await watch.getByLabel('Layer').selectOption(id ?? '');
}
