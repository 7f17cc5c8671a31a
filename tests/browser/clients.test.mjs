// Other people's clients against the real server: they publish and watch, and none of them was written for Weir.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { apart } from './apart.mjs';
import { withClients, withoutWhepPatch } from './clients.mjs';
import { clip, publish as publishFfmpeg } from './ffmpeg.mjs';
import { clean, decodes, hears, inbound, startRig, until } from './rig.mjs';

const rig = await startRig();
const libdatachannel = apart(new URL('libdatachannel.mjs', import.meta.url));
after(libdatachannel.end);
const { weir } = rig;

const clientsPage = await withClients(rig);

test('whip-whep publishes, whip-whep watches', async () => {
  const publisher = await clientsPage('whip-whep-publisher');
  await publisher.evaluate((how) => clients.whipWhep.publish(how), weir.publish('whip-whep'));
  const viewer = await clientsPage('whip-whep-viewer');
  await viewer.evaluate((url) => clients.whipWhep.watch({ url }), weir.whep('whip-whep'));
  await decodes(viewer, { width: 640, height: 360 });
  await hears(viewer, 'video', [440, 880], { stereo: false });
  await viewer.shot();
  await viewer.evaluate(() => clients.leave('v'));
  await publisher.evaluate(() => clients.leave('p'));
  await until('both have left', async () => {
    const stream = await weir.stream('whip-whep');
    return stream === null || (stream.publisher === null && stream.viewers.whep === 0) || Promise.reject(new Error(JSON.stringify(stream)));
  });
  viewer.errors = withoutWhepPatch(viewer.errors);
  clean(publisher, viewer);
  await publisher.done();
  await viewer.done();
});

test('@eyevinn/whip-web-client publishes, @eyevinn/webrtc-player watches', async () => {
  const publisher = await clientsPage('eyevinn-publisher');
  await publisher.evaluate((how) => clients.eyevinn.publish(how), weir.publish('eyevinn'));
  const viewer = await clientsPage('eyevinn-viewer');
  await viewer.evaluate((url) => clients.eyevinn.watch({ url }), weir.whep('eyevinn'));
  await decodes(viewer, { width: 640, height: 360 });
  await hears(viewer, 'video', [440, 880], { stereo: false });
  await viewer.shot();
  await viewer.evaluate(() => clients.leave('v'));
  await publisher.evaluate(() => clients.leave('p'));
  clean(publisher, viewer);
  await publisher.done();
  await viewer.done();
});

test('libdatachannel (the stack inside OBS) publishes, Chromium watches', async () => {
  const publisher = await libdatachannel.call('publish', weir.whip('libdatachannel'), await clip({ left: 440, right: 880 }));
  const viewer = await rig.lab('libdatachannel-viewer');
  await viewer.evaluate((url) => lab.watch({ url }), weir.whep('libdatachannel'));
  await decodes(viewer, { codec: 'video/H264', width: 640, height: 360 });
  await hears(viewer, 'video', [440, 880]);
  await viewer.shot();
  const { video } = await inbound(viewer);
  assert.equal(video.packetsLost, 0, 'packets lost on loopback');
  assert.equal(await publisher.stop(), 200);
  clean(viewer);
  await viewer.done();
});

test('FFmpeg publishes, the watch page plays', async () => {
  const publisher = publishFfmpeg(weir.whip('ffmpeg'));
  try {
    const viewer = await rig.open(`${weir.origin}/watch/ffmpeg`, { name: 'ffmpeg-watch' });
    await decodes(viewer, { codec: 'video/H264', width: 640, height: 360 }, 30000).catch((error) => { throw new Error(`${error.message}\n${publisher.log()}`); });
    await hears(viewer, 'video', [440, 880]);
    await viewer.shot();
    const stream = await weir.api('streams/ffmpeg');
    assert.equal(stream.state, 'live');
    assert.equal(stream.tracks.find((t) => t.kind === 'video').codec, 'h264');
    clean(viewer);
    await viewer.done();
  } finally {
    await publisher.stop();
  }
});
