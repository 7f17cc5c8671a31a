// Who cannot have WebRTC has LL-HLS: the watch page falls back by itself and goes back when it can; and what it does with a stream that comes
// that way. Latency is that of each picture, from the burned-in clock or, of an encoder's film, from when its last byte left FFmpeg, until Chromium
// puts it on the page; never the player's own idea of it, which is held against it.

import test from 'node:test';
import assert from 'node:assert/strict';
import { EYE, blockUdp, clockAges, filmAges, freezes, line, own, quantiles, seen } from './audience.mjs';
import { makeFilm, publishFilm } from './film.mjs';
import { startOrigin } from './origin.mjs';
import { clean, decodes, shows, startRig, until } from './rig.mjs';
import { startTap } from './tap.mjs';
import { startWeir } from './weir.mjs';

const BIG = { width: 1280, height: 720, frames: 1800 };
const SMALL = { width: 640, height: 360, frames: 600 };
/// What is held of the latency, in ms, at the preset `near`.
const NEAR = { p50: 1200, p95: 1600 };
/// The player's own idea of it may be off by so much.
const SAID = 300;
const WATCH = 15000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const rig = await startRig();
const { weir } = rig;
const film = await makeFilm('plain', SMALL);

/// How the page plays now.
const now = (page) => page.evaluate(() => {
  const { state, way, media, numbers, detour } = window.weir.player;
  return { state, way, media, numbers, detour: detour?.title ?? null };
});

const plays = (page, way, ms = 20000) => until(`it plays by ${way}`, async () => {
  const it = await now(page);
  return it.state === 'playing' && it.way === way ? it : Promise.reject(new Error(JSON.stringify(it)));
}, ms);

/// Publishes a film by RTMP as `stream`.
async function encoder(stream, what = film) {
  const tap = await startTap({ target: weir.rtmpPort });
  const child = publishFilm(weir.rtmp(stream, tap.port), what);
  await until(`${stream} is live`, async () => (await weir.stream(stream))?.state === 'live')
    .catch((error) => { throw new Error(`${error.message}\n${child.log()}`); });
  return { tap, child, stop: async () => { await child.stop(); await tap.stop(); } };
}

/// Watches for a while, and holds what is held of every stream by HLS.
async function judge(page, ages) {
  await plays(page, 'hls');
  await sleep(4000);
  const from = Date.now();
  await sleep(WATCH);
  const notes = await seen(page, from);
  const { numbers } = await now(page);
  const all = await ages(notes.frames);
  const latency = quantiles(all);
  const frozen = own(freezes(notes.frames), notes.stalls);
  const { targetMs } = numbers.hls;
  console.log(`${line(latency)}; aimed at ${Math.round(targetMs)} ms; the page says ${Math.round(numbers.hls.latencyMs)} ms; dry ${notes.dry.length}; frozen ${JSON.stringify(frozen)}; stalls ${JSON.stringify(notes.stalls)}`);
  assert.ok(notes.frames.length > 20 * (WATCH / 1000), `${notes.frames.length} pictures in ${WATCH} ms`);
  assert.ok(all.length > 0.9 * notes.frames.length, `${all.length} of ${notes.frames.length} pictures could be read`);
  assert.ok(latency.p50 <= NEAR.p50 && latency.p95 <= NEAR.p95, `latency: ${line(latency)}, aimed at ${targetMs} ms`);
  assert.deepEqual(frozen, [], 'without a freeze');
  const last = quantiles(all.slice(-30)).p50;
  assert.ok(Math.abs(numbers.hls.latencyMs - last) < SAID, `it says ${numbers.hls.latencyMs} ms, and ${last} are measured`);
  return notes;
}

/// Beeps of a film are 20 frames apart, a little more or less where the player slows down or catches up, and nothing of its sound is lost.
async function beeps(page) {
  await page.evaluate(() => eye.listen());
  const from = Date.now();
  const { beeps, sound } = await until('ten beeps are heard', async () => {
    const notes = await seen(page, from);
    return notes.beeps.length >= 10 || notes.sound > from + 20000 ? notes : Promise.reject(new Error(JSON.stringify(notes.beeps)));
  }, 30000);
  const apart = beeps.slice(1).map((when, i) => Math.round(when - beeps[i]));
  const late = Date.now() - sound;
  console.log(`beeps are ${apart} ms apart; ${Math.round(late)} ms of sound are not there yet`);
  assert.ok(beeps.length >= 10 && apart.every((ms) => Math.abs(ms - 667) < 80), `beeps are ${apart} ms apart`);
  assert.ok(late < 1000, `${late} ms of ${Math.round(sound - from)} ms of sound are missing`);
}

test('RTMP with AAC by ?via=hls: picture, sound, and how late', async () => {
  const source = await encoder('hls-rtmp');
  const page = await rig.open(`${weir.origin}/watch/hls-rtmp?via=hls`, { name: 'hls-rtmp', init: EYE });
  const { numbers } = await plays(page, 'hls');
  assert.deepEqual([numbers.video.codec, numbers.video.width, numbers.audio.codec], ['H264', SMALL.width, 'AAC']);
  await judge(page, (frames) => filmAges(frames, source.tap, SMALL.frames));
  await beeps(page);
  assert.equal(await page.evaluate(() => connections.length), 0, 'no peer connection');
  await page.getByText(/HLS, \d\.\d s behind/).waitFor();
  await page.hover('video');
  await page.keyboard.press('s');
  await page.getByText('Behind live').waitFor();
  await page.shot();
  clean(page);
  await page.done();
  await source.stop();
});

test('WHIP with Opus by ?via=hls: picture, sound, and how late', async () => {
  const publisher = await rig.lab('hls-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, codec: 'video/H264' }), weir.publish('hls-whip'));
  const page = await rig.open(`${weir.origin}/watch/hls-whip?via=hls`, { name: 'hls-whip', init: EYE });
  await page.evaluate(() => eye.read('clock'));
  const { numbers } = await plays(page, 'hls');
  assert.deepEqual([numbers.video.codec, numbers.audio.codec], ['H264', 'Opus']);
  await judge(page, clockAges);
  await page.shot();
  clean(page, publisher);
  await page.done();
  await publisher.done();
});

test('the publisher goes and comes back: the page goes on by itself', async () => {
  const first = await encoder('hls-back');
  const page = await rig.open(`${weir.origin}/watch/hls-back?via=hls`, { name: 'hls-back', init: EYE });
  await plays(page, 'hls');
  await first.child.kill('SIGKILL');
  await shows(page, 'waiting');
  await page.shot('hls-interrupted');
  const from = Date.now();
  const second = await encoder('hls-back');
  await plays(page, 'hls');
  const notes = await until('pictures go on', async () => {
    const notes = await seen(page, from);
    return notes.frames.length > 60 ? notes : null;
  });
  console.log(`first picture ${Math.round(notes.frames[0][0] - from)} ms after the second encoder's start`);
  assert.deepEqual(notes.bare, [], 'the last picture stays until then');
  await page.done();
  await second.stop();
  await first.tap.stop();
});

test('no UDP: it falls back, says why, and goes back without a black moment', async () => {
  const source = await encoder('hls-blocked');
  const page = await rig.open(`${weir.origin}/watch/hls-blocked`, { name: 'hls-blocked', init: [...EYE, blockUdp] });
  await plays(page, 'hls');
  const { detour } = await until('it knows why', async () => {
    const it = await now(page);
    return it.detour && it.way === 'hls' ? it : null;
  }, 30000);
  assert.equal(detour, 'No UDP or TCP path to the server');
  await page.hover('video');
  await page.shot('hls-fallback');
  const from = Date.now();
  await page.evaluate(() => { window.blocked = false; dispatchEvent(new Event('online')); });
  await plays(page, 'webrtc');
  await decodes(page, { codec: 'video/H264', width: SMALL.width });
  const notes = await seen(page, from);
  const longest = Math.max(...freezes(notes.frames, 0).map(([, gap]) => gap));
  console.log(`back on WebRTC; the longest time without a new picture is ${longest} ms`);
  assert.deepEqual(notes.bare, [], 'something is to be seen all the time');
  assert.ok(longest < 1000, `${longest} ms without a new picture`);
  await until('nothing comes by HLS any more', async () => (await now(page)).numbers?.hls === null);
  await page.shot('hls-returned');
  clean(page);
  await page.done();
  await source.stop();
});

test('a full server: it falls back, and goes back when there is room', async () => {
  const small = await startWeir({ args: ['--webrtc-max-viewers', '1'] });
  const child = publishFilm(small.rtmp('hls-full'), film);
  try {
    await until('it is live', async () => (await small.stream('hls-full'))?.state === 'live');
    const viewer = await rig.lab('hls-viewer');
    await viewer.evaluate((url) => lab.watch({ url, id: 'only' }), small.whep('hls-full'));
    const page = await rig.open(`${small.origin}/watch/hls-full`, { name: 'hls-full', init: EYE });
    const { detour } = await plays(page, 'hls');
    assert.equal(detour, 'The server is full');
    const from = Date.now();
    await viewer.done();
    await until('there is room', async () => (await small.stream('hls-full')).viewers.whep === 0, 60000);
    await plays(page, 'webrtc', 60000);
    assert.deepEqual((await seen(page, from)).bare, []);
    await page.done();
  } finally {
    await child.stop();
    await small.stop();
  }
});

test('a viewer by WebRTC loads nothing of HLS, and ?via=webrtc has nothing else', async () => {
  const source = await encoder('hls-none');
  for (const [query, init] of [['', []], ['?via=webrtc', [blockUdp]]]) {
    const page = await rig.open(`${weir.origin}/watch/hls-none${query}`, { name: 'hls-none', init });
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    if (query) await page.getByText('No UDP or TCP path to the server').waitFor();
    else await decodes(page, { codec: 'video/H264' });
    const all = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
    assert.deepEqual([...asked, ...all].filter((url) => /hls|\/live\//.test(url.replace('hls-none', ''))), []);
    await page.done();
  }
  await source.stop();
});

test('back in the window, and live again', async () => {
  const source = await encoder('hls-window');
  const page = await rig.open(`${weir.origin}/watch/hls-window?via=hls`, { name: 'hls-window', init: EYE });
  await plays(page, 'hls');
  const line = page.locator('input.timeline');
  await until('there is something to go back to', () => page.evaluate(() => Number(document.querySelector('weir-player').shadowRoot.querySelector('.timeline').max) > 12), 40000);
  const behind = async () => quantiles(await filmAges((await seen(page, Date.now() - 1000)).frames, source.tap, SMALL.frames)).p50;
  await page.hover('video');
  await line.focus();
  await page.keyboard.press('Escape');
  await page.locator('.stage').focus();
  for (let i = 0; i < 2; i++) await page.keyboard.press('ArrowLeft');
  await page.getByText(/Go live, \d/).waitFor();
  await sleep(2500);
  const away = await behind();
  assert.ok(away > 9000 && away < 14000, `${away} ms behind after going back ten seconds`);
  await page.hover('video');
  await page.shot();
  await page.getByText(/Go live/).click();
  await sleep(3500);
  const back = await behind();
  assert.ok(back < NEAR.p95, `${back} ms behind after going live again`);
  // What is paused goes on live.
  await page.locator('.stage').focus();
  await page.keyboard.press(' ');
  await until('it is paused', () => page.evaluate(() => document.querySelector('video').paused));
  await sleep(4000);
  await page.keyboard.press(' ');
  await sleep(3500);
  const again = await behind();
  assert.ok(again < NEAR.p95, `${again} ms behind after a pause`);
  clean(page);
  await page.done();
  await source.stop();
});

test('<weir-player> on another site, an LL-HLS that is not ours, and its renditions in the menu', async () => {
  const films = [{ ...await makeFilm('plain', BIG), ...BIG }, { ...film, ...SMALL }];
  const origin = await startOrigin(films);
  try {
    rig.extra.set('hls-menu.html', `<!doctype html><link rel="icon" href="data:,"><title>another site</title>
<script src="${weir.origin}/weir-player.js" async></script>
<weir-player src="${weir.whep('nobody')}" hls="${origin.url}" via="hls" muted autoplay controls><video></video></weir-player>`);
    const page = await rig.open(`${rig.labOrigin}/hls-menu.html`, { name: 'hls-menu' });
    await until('it plays', async () => {
      const { state, problem, hls } = await page.evaluate(() => {
        const { state, problem } = document.querySelector('weir-player');
        return { state, problem: problem?.message, hls: typeof window.weirHls };
      });
      return state === 'playing' || Promise.reject(new Error(JSON.stringify([state, problem, hls, origin.requests.slice(-5), page.errors])));
    });
    const sizes = await page.evaluate(() => document.querySelector('weir-player').layers.map(({ id, height }) => `${id} ${height}`));
    assert.deepEqual(sizes, ['v0 720', 'v1 360'], 'best first');
    await page.hover('video');
    const menu = page.getByLabel('Layer');
    assert.deepEqual(await menu.locator('option').allInnerTexts(), ['Automatic', '1280×720', '640×360']);
    for (const [id, width] of [['v1', 640], ['v0', 1280], ['v1', 640]]) {
      await menu.selectOption(id);
      await until(`${width} wide`, () => page.evaluate((width) => document.querySelector('video').videoWidth === width, width));
      await page.hover('video');
      await page.shot(`hls-menu-${id}`);
    }
    await menu.selectOption('');
    assert.equal(await page.evaluate(() => document.querySelector('weir-player').layer), '');
    clean(page);
    await page.done();
  } finally {
    await origin.close();
  }
});

test("Chromium's own HLS plays it", async () => {
  const source = await encoder('hls-native');
  const page = await rig.lab('hls-native');
  const can = await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl'));
  assert.notEqual(can, '', 'this Chromium has HLS');
  // It knows no parts, and cannot begin before there are three segments: whoever asks first for a stream on demand comes too early for it.
  await until('three whole segments', async () => {
    const index = `${weir.origin}/live/hls-native/index.m3u8`;
    const media = (await (await fetch(index)).text()).match(/[^\s"]+\/[av]\d\.m3u8/g);
    const texts = await Promise.all(media.map(async (one) => (await fetch(new URL(one, index))).text()));
    return texts.every((text) => text.match(/#EXTINF/g)?.length >= 3);
  });
  await page.evaluate((src) => {
    const video = Object.assign(document.createElement('video'), { src, muted: true, autoplay: true });
    document.body.append(video);
  }, `${weir.origin}/live/hls-native/index.m3u8`);
  const played = () => page.evaluate(() => {
    const video = document.querySelector('video');
    return { at: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames, width: video.videoWidth, error: video.error?.message };
  });
  const first = await until('it plays', async () => {
    const it = await played();
    return it.frames > 30 ? it : Promise.reject(new Error(JSON.stringify(it)));
  }, 30000);
  assert.equal(first.width, SMALL.width);
  await sleep(8000);
  const then = await played();
  assert.ok(then.at - first.at > 6 && then.frames - first.frames > 150, JSON.stringify([first, then]));
  await page.done();
  await source.stop();
});
