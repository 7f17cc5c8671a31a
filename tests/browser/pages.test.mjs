// From the publish page to the watch page, each codec a browser can send; and what every page looks like.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;

const CODECS = [['h264', 'video/H264'], ['vp8', 'video/VP8'], ['vp9', 'video/VP9'], ['av1', 'video/AV1']];

for (const [codec, mime] of CODECS) {
  test(`the publish page sends ${codec}, the watch page shows it`, async () => {
    const publish = await rig.open(`${weir.origin}/publish/${codec}?codec=${codec}&width=640&height=360&prefer=resolution&auto=1`, { name: `publish-${codec}` });
    const watch = await rig.open(`${weir.origin}/watch/${codec}`, { name: `watch-${codec}` });
    await shows(watch, 'playing');
    const video = await decodes(watch, { codec: mime, width: 640, height: 360 });
    assert.equal(video.packetsLost, 0, 'packets lost on loopback');
    const stream = await until('the API says it is live', async () => {
      const stream = await weir.api(`streams/${codec}`);
      return stream.state === 'live' && stream.tracks.length === 2 && stream.tracks.some((t) => t.encodings?.[0].width) ? stream : null;
    });
    const track = stream.tracks.find((t) => t.kind === 'video');
    assert.equal(track.codec, codec);
    assert.deepEqual([track.encodings[0].width, track.encodings[0].height], [640, 360]);
    assert.equal(stream.viewers.whep, 1);
    await publish.shot();
    await watch.shot();
    clean(publish, watch);
    await watch.done();
    await publish.done();
  });
}

test('every page in dark and light, at desk and phone width', async () => {
  const publish = await rig.open(`${weir.origin}/publish/demo?codec=vp8&simulcast=1&auto=1`, { name: 'look-publish' });
  await shows(publish, 'live');
  const sizes = { desk: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ['dark', 'light']) {
      for (const [name, path] of [['home', '/'], ['publish', '/publish/another'], ['watch', '/watch/demo'], ['embed', '/embed/demo'], ['waiting', '/watch/nobody-yet']]) {
        const page = await rig.open(weir.origin + path, { name: `look-${name}-${size}-${colorScheme}`, viewport, colorScheme });
        if (name === 'watch' || name === 'embed') await decodes(page, {});
        if (name === 'waiting') await shows(page, 'waiting');
        if (name === 'home') await until('the home page counts', async () => /demo/.test(await page.innerText('main')) && !/\b0 kb\/s/.test(await page.innerText('main')));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${path} is ${wide} px wider than a ${size} screen`);
        await page.shot();
        clean(page);
        await page.done();
      }
    }
  }
  await publish.shot();
  clean(publish);
  await publish.done();
});

test('by hand: Go live, then Stop; the embedded player on another site', async () => {
  const publish = await rig.open(`${weir.origin}/publish/hand?codec=vp8&width=640&height=360`, { name: 'hand-publish' });
  await publish.getByRole('button', { name: 'Go live' }).click();
  await shows(publish, 'live');
  const site = await rig.lab('hand-embedded');
  await site.evaluate((src) => {
    document.body.append(Object.assign(document.createElement('iframe'), { src, width: 640, height: 360, allow: 'autoplay; fullscreen' }));
  }, `${weir.origin}/embed/hand`);
  const frame = await until('the frame', () => site.frames().find((f) => f.url().includes('/embed/hand')));
  await until('the embedded player plays', () => frame.evaluate(() => document.documentElement.dataset.state === 'playing' && document.querySelector('video').currentTime > 1));
  await site.shot();
  await publish.getByRole('button', { name: 'Stop' }).click();
  await shows(publish, 'idle');
  await until('the embedded player waits', () => frame.evaluate(() => document.documentElement.dataset.state === 'waiting'));
  clean(publish, site);
  await publish.done();
  await site.done();
});

test('the watch page is told: the publisher leaves, is back, and how many watch', async () => {
  const publish = await rig.open(`${weir.origin}/publish/told?codec=vp8&simulcast=1&auto=1`, { name: 'told-publish' });
  await shows(publish, 'live');
  const watch = await rig.open(`${weir.origin}/watch/told`, { name: 'told' });
  await decodes(watch, {});
  await watch.getByText('1 watching').waitFor();
  const second = await rig.open(`${weir.origin}/embed/told`, {});
  await watch.getByText('2 watching').waitFor();
  await until('the menu has the layers', () => watch.getByLabel('Layer').locator('option').count().then((count) => count > 2));
  // By the clock of the page: frames that stopped would be a guess after three seconds.
  await watch.evaluate(() => {
    const html = document.documentElement;
    window.changes = [];
    new MutationObserver(() => window.changes.push({ at: Date.now(), state: html.dataset.state })).observe(html, { attributeFilter: ['data-state'] });
  });
  const left = Date.now();
  await publish.getByRole('button', { name: 'Stop' }).click();
  await shows(watch, 'waiting');
  const told = (await watch.evaluate(() => window.changes)).find(({ state }) => state === 'waiting').at - left;
  assert.ok(told < 2500, `${told} ms until the page said it, the click included`);
  await watch.getByText(/The publisher (has left|is interrupted)/).waitFor();
  await watch.shot('told-gone');
  await publish.getByRole('button', { name: 'Go live' }).click();
  await shows(watch, 'playing');
  await decodes(watch, {});
  assert.equal(await watch.evaluate(() => window.connections.length), 1, 'one connection all the time');
  await second.done();
  await watch.getByText('1 watching').waitFor();
  clean(watch, publish);
  await watch.done();
  await publish.done();
});
