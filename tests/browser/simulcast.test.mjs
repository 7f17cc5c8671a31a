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

/// The start of each segment in ms since 1970 by its number, and which are gaps: of every rendition of pictures.
async function boundaries(name) {
  const index = `${weir.origin}/live/${name}/index.m3u8`;
  const all = new Set((await (await fetch(index)).text()).match(/[^\s"]+\/v\d\.m3u8/g));
  return Promise.all([...all].sort().map(async (media) => {
    const lines = (await (await fetch(new URL(media, index))).text()).split('\n');
    let msn = Number(lines.find((l) => l.startsWith('#EXT-X-MEDIA-SEQUENCE:')).split(':')[1]);
    const starts = new Map();
    const gaps = [];
    let date;
    for (const line of lines) {
      if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) date = Date.parse(line.slice(25));
      if (line === '#EXT-X-GAP') gaps.push(msn);
      if (line.startsWith('#EXTINF:')) starts.set(msn++, date);
    }
    return { id: media.match(/(v\d)\.m3u8$/)[1], starts, gaps };
  }));
}

test('h264 by HLS: each layer is a rendition, and hls.js plays the one that is chosen', async () => {
  const name = 'simulcast-hls';
  const publisher = await rig.lab('simulcast-hls-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/H264', width: 1280, height: 720, layers: 3 }), weir.publish(name));
  await live(name);
  const watch = await rig.open(`${weir.origin}/watch/${name}?via=hls`, { name });
  const sizes = await until('three layers can be chosen', async () => {
    const layers = await watch.evaluate(() => window.weir.player.layers.map(({ id, width, height }) => `${id} ${width}×${height}`));
    return layers.length === 3 ? layers : Promise.reject(new Error(JSON.stringify(layers)));
  }, 20000);
  assert.deepEqual(sizes, ['v0 1280×720', 'v1 640×360', 'v2 320×180'], 'best first');
  const width = (width) => until(`${width} wide`, () => watch.evaluate((width) => document.querySelector('video').videoWidth === width, width), 15000);
  for (const [id, wide] of [['v2', 320], ['v1', 640], ['v0', 1280], ['v2', 320]]) {
    await choose(watch, id);
    await width(wide);
    await watch.shot(`${name}-${id}`);
  }
  const [first, ...others] = await until('some segments are there', async () => {
    const all = await boundaries(name);
    return all.length === 3 && all.every(({ starts }) => starts.size >= 5) ? all : Promise.reject(new Error(JSON.stringify(all.map(({ id, starts, gaps }) => [id, [...starts], gaps]))));
  }, 20000);
  let apart = 0;
  for (const { id, starts, gaps } of [first, ...others]) {
    assert.deepEqual(gaps, [], `${id} has a keyframe at each boundary`);
    for (const [msn, at] of starts) apart = Math.max(apart, Math.abs(at - (first.starts.get(msn) ?? at)));
  }
  console.log(`segments of three layers begin ${apart} ms apart at most`);
  assert.ok(apart < 100);
  // A layer that stops is left out, and nobody waits for it.
  await publisher.evaluate(() => lab.turn('p', 'f', false));
  await until('the first layer is no longer named', async () => (await boundaries(name)).map(({ id }) => id).join() === 'v1,v2', 15000);
  const before = await watch.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
  await until('the others go on', () => watch.evaluate((before) => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > before + 60, before), 10000);
  await publisher.evaluate(() => lab.turn('p', 'f', true));
  await until('it is named again', async () => (await boundaries(name)).length === 3, 15000);
  clean(publisher, watch);
  await watch.done();
  await publisher.done();
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
