// When it does not work: the watch page says why in words, and comes back by itself when it can.

import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clean, decodes, shows, startRig, until } from './rig.mjs';
import { startWeir } from './weir.mjs';

// Without a worker program nothing is bridged.
const rig = await startRig({ weir: { args: ['--transcode-worker', '/nowhere/weir-transcoder'] } });

test('a bad stream name', async () => {
  const page = await rig.open(`${rig.weir.origin}/watch/two%20words`, { name: 'refused-name' });
  await page.getByText('This address names no stream').waitFor();
  await page.shot();
  await page.done();
});

test('no token, a wrong token, the right token', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-access-'));
  const config = join(folder, 'weir.toml');
  await writeFile(config, '[[access]]\naction = "watch"\nstream = "*"\ntoken = "let-me-in"\n');
  const weir = await startWeir({ args: ['--config', config] });
  try {
    const publisher = await rig.lab('refused-publisher');
    await publisher.evaluate((to) => lab.publish({ ...to }), weir.publish('secret'));
    for (const [query, name, words] of [['', 'refused-no-token', /token/i], ['?token=wrong', 'refused-wrong-token', /token/i]]) {
      const page = await rig.open(`${weir.origin}/watch/secret${query}`, { name });
      await shows(page, 'failed');
      await page.getByText(words).first().waitFor();
      await page.shot();
      await page.done();
    }
    const page = await rig.open(`${weir.origin}/watch/secret?token=let-me-in`, { name: 'token-accepted' });
    await decodes(page, { width: 640 });
    clean(page, publisher);
    await page.done();
    await publisher.done();
  } finally {
    await weir.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

/// Runs in the page: a browser without AV1.
const withoutAv1 = () => {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (what, how) {
    const transceiver = add.call(this, what, how);
    if (what === 'video') transceiver.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs.filter((c) => c.mimeType !== 'video/AV1'));
    return transceiver;
  };
};

test('a codec that this browser lacks, the publisher there first', async () => {
  const publisher = await rig.lab('codec-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/AV1' }), rig.weir.publish('codec'));
  const page = await rig.open(`${rig.weir.origin}/watch/codec`, { name: 'refused-codec', init: withoutAv1 });
  await page.getByText(/AV1/).first().waitFor();
  await page.shot();
  // The publisher changes its mind: the page plays by itself.
  assert.equal(await publisher.evaluate(() => lab.leave('p')), 200);
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/VP8' }), rig.weir.publish('codec'));
  await decodes(page, { codec: 'video/VP8' }, 30000);
  clean(publisher);
  await page.done();
  await publisher.done();
});

test('a codec that this browser lacks, the viewer there first', async () => {
  const page = await rig.open(`${rig.weir.origin}/watch/late`, { name: 'refused-codec-late', init: withoutAv1 });
  await shows(page, 'waiting');
  const [publisher, viewer] = [await rig.lab('late-publisher'), await rig.lab('late-viewer')];
  // Another viewer, no page of ours: it stays whatever comes, and the API says what it lacks.
  await viewer.evaluate((url) => lab.watch({ url, without: 'video/AV1' }), rig.weir.whep('late'));
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/AV1' }), rig.weir.publish('late'));
  await until('the API says why', async () => {
    const viewers = await rig.weir.api('streams/late/viewers');
    return viewers.some((v) => /av1/i.test(v.problem)) || Promise.reject(new Error(JSON.stringify(viewers)));
  });
  await page.getByText(/AV1/).first().waitFor();
  await page.shot();
  clean(publisher, viewer);
  for (const each of [page, publisher, viewer]) await each.done();
});

test('a codec that this browser lacks, with a worker: it is bridged, and the page plays', async () => {
  const weir = await startWeir();
  try {
    const publisher = await rig.lab('bridged-publisher');
    await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/AV1' }), weir.publish('bridged'));
    const page = await rig.open(`${weir.origin}/watch/bridged`, { name: 'bridged', init: withoutAv1 });
    await shows(page, 'playing');
    await decodes(page, { codec: 'video/H264', width: 640 }, 30000);
    const { bridges } = await weir.stream('bridged');
    assert.deepEqual(bridges.map(({ from, to, state }) => [from, to, state]), [['av1', 'h264', 'running']]);
    clean(page, publisher);
    await page.done();
    await publisher.done();
  } finally {
    await weir.stop();
  }
});

test('the server restarts: page and publisher come back by themselves', async () => {
  let weir = await startWeir();
  try {
    const publish = await rig.open(`${weir.origin}/publish/back?codec=vp8&width=640&height=360&auto=1`, { name: 'restart-publish' });
    const watch = await rig.open(`${weir.origin}/watch/back`, { name: 'restart' });
    await decodes(watch, { codec: 'video/VP8' });
    assert.equal(await weir.stop(), 0, 'SIGTERM ends it in order');
    await until('the page says that the server is gone', async () => {
      const text = await watch.innerText('body');
      return /reach|reconnect|connection|again/i.test(text) ? text : null;
    });
    await watch.shot('restart-gone');
    weir = await startWeir({ port: weir.port });
    await decodes(watch, { codec: 'video/VP8' }, 45000);
    await shows(watch, 'playing');
    await watch.shot('restart-back');
    await publish.shot();
    await watch.done();
    await publish.done();
  } finally {
    await weir.stop();
  }
});
