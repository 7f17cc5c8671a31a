// Encoders publish by RTMP as people run them, and Chromium sees and hears: FFmpeg 5.1 with x264's own defaults (B-frames) and AAC, FFmpeg 9 with
// Enhanced RTMP; and WHIP and RTMP by turns for one viewer.
//
// The films were encoded before and are published as they are, so that no encoder takes the cores. Latency is that of each single picture: from the
// moment when its last byte left FFmpeg (`tap.mjs`) until Chromium puts it on the page; which picture that is stands in its squares. With
// B-frames that includes the time that a picture waits for those that were sent after it and are shown before it, 67 ms on average.
//
// Sound and picture: a flash and a beep at once. As `instant.test.mjs` says, this way to measure puts some time between them by itself, so the
// same is measured with one page straight to another, no server between, in the same run, and the limit holds for the difference.
// Beside that stands the browser's own reckoning from the sender reports.
//
// WEIR_RTMP=long watches for longer (`npm run rtmp`).

import test from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { makeFilm, publishFilm } from './film.mjs';
import { enter, floor, median, playing, regular, seat, stats } from './join.mjs';
import { clean, decodes, shows, startRig, until } from './rig.mjs';
import { film as reel, rtmp as byRtmp } from './sources.mjs';
import { sendTimes, startTap } from './tap.mjs';

const LONG = process.env.WEIR_RTMP === 'long';
/// Milliseconds: after the join until everything is steady, and how long is watched then.
const SETTLE = 6000;
const WATCH = LONG ? 60000 : 20000;
const FRAMES = ((SETTLE + WATCH) * 30) / 1000 + 240;
const BIG = { width: 1280, height: 720, frames: FRAMES };
const SMALL = { width: 640, height: 360, frames: 600 };
/// Where nothing is bridged, sound is late by little more than the 30 ms that Chromium lets pass, and it mends that in small steps: ten seconds and
/// more after the join.
const LONGER = { settle: 15000, frames: 900 };
/// In ms: sound and picture apart, beyond what the way to measure does.
const LIPS = 45;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ms = (value) => (Number.isFinite(value) ? String(Math.round(value)) : '–');

const rig = await startRig();
const { weir } = rig;
const films = {
  defaults: await makeFilm('defaults', BIG),
  plain: await makeFilm('plain', BIG),
  hevc: await makeFilm('hevc', SMALL),
  av1: await makeFilm('av1', { ...SMALL, ...LONGER }),
};
/// How much later than its picture sound is by this way to measure, with no server.
let own;

test('one page straight to another', async () => {
  const { typical } = await floor(rig, { width: 1280, height: 720, bitrate: 2000000 });
  console.log(`page to page: sound ${ms(typical)} ms after its picture`);
  own = typical;
});

const cases = [
  { name: 'x264 without B-frames, AAC', film: 'plain', bridges: ['aac>opus'], codec: 'video/H264', ...BIG, latency: 400 },
  { name: 'x264 as it is (B-frames), AAC', film: 'defaults', bridges: ['aac>opus', 'h264>h264'], codec: 'video/H264', ...BIG, latency: 700 },
  { name: 'Enhanced HEVC, Opus', film: 'hevc', bridges: ['h265>h264'], codec: 'video/H264', ...SMALL, latency: 700 },
  { name: 'Enhanced AV1 with hidden frames, Opus', film: 'av1', bridges: [], codec: 'video/AV1', ...SMALL, ...LONGER, latency: 400 },
];

for (const { name, film, bridges, codec, width, height, frames, latency, settle = SETTLE } of cases) {
  test(name, async () => {
    const stream = `rtmp-${film}`;
    const tap = await startTap({ target: weir.rtmpPort });
    const encoder = publishFilm(weir.rtmp(stream, tap.port), films[film]);
    const page = await seat(rig, stream);
    try {
      await until('it is live', async () => (await weir.stream(stream))?.state === 'live');
      await enter(page, { url: weir.whep(stream) });
      await sleep(settle);
      const before = await stats(page);
      const from = Date.now();
      // The browser's reckoning is of one picture, and each comes a little sooner or later.
      const reckoned = [];
      const end = from + Math.min(WATCH, (frames * 1000) / 30 - settle - 4000);
      while (Date.now() < end) {
        await sleep(500);
        reckoned.push(playing(await stats(page)));
      }
      const seen = { ...await regular(page, before), stats: median(reckoned) };
      const after = await stats(page);
      const notes = await page.evaluate(() => seat.notes());
      const sent = sendTimes(await tap.pictures(), frames);
      const ages = notes.frames.filter(([when]) => when > from).map(([when, number]) => when - sent(number, when));
      const live = await weir.stream(stream);
      const seconds = (after.video.timestamp - before.video.timestamp) / 1000;
      const beeps = notes.beeps.filter((when) => when > from).length / seconds;
      const concealed = (after.audio.concealedSamples - before.audio.concealedSamples)
        / (after.audio.totalSamplesReceived - before.audio.totalSamplesReceived);
      const at = (q) => ages.toSorted((a, b) => a - b)[Math.floor(q * ages.length)];
      console.log(`${name}: latency p50 ${ms(at(0.5))}, p95 ${ms(at(0.95))} ms of ${ages.length} pictures; sound ${ms(seen.av)} ms after its picture `
        + `(${ms(own)} with no server), ${ms(seen.stats)} by the sender reports; jitter buffer ${ms(seen.buffer)} ms; ${(seen.frames / seconds).toFixed(1)} frames/s, `
        + `${after.video.freezeCount} freezes, ${beeps.toFixed(2)} beeps/s, ${(100 * concealed).toFixed(2)} % concealed; longest stall ${Math.max(0, ...notes.stalls.map(([, long]) => long))} ms`);
      assert.equal(live.publisher.protocol, 'rtmp');
      assert.deepEqual(live.bridges.map(({ from: a, to: b }) => `${a}>${b}`).toSorted(), bridges);
      await decodes(page, { codec, width, height });
      assert.ok(ages.length > 20 * (seconds - 1) && ages.every(Number.isFinite), `${ages.length} pictures, all of the film`);
      assert.ok(at(0.95) <= latency, `a latency of ${ms(at(0.95))} ms (p95); at most ${latency} are allowed`);
      assert.ok(Math.abs(seen.av - own) <= LIPS, `sound is ${ms(seen.av - own)} ms late; at most ${LIPS} are allowed`);
      assert.ok(Math.abs(seen.stats) <= LIPS, `sound is ${ms(seen.stats)} ms late by the sender reports; at most ${LIPS} are allowed`);
      assert.equal(after.video.freezeCount, 0, 'freezes');
      assert.equal(seen.lost, 0, 'packets lost');
      assert.ok(seen.frames / seconds > 28, `${(seen.frames / seconds).toFixed(1)} frames/s of 30`);
      assert.ok(beeps > 1.4 && beeps < 1.6, `${beeps.toFixed(2)} beeps/s of 1.5`);
      assert.ok(concealed < 0.01, `${(100 * concealed).toFixed(2)} % of the sound concealed`);
      clean(page);
    } catch (error) {
      throw new Error(`${error.message}\n${JSON.stringify(await weir.stream(stream))}\n${encoder.log()}`, { cause: error });
    } finally {
      await page.evaluate(() => seat.leave()).catch(() => {});
      await page.done();
      await encoder.stop();
      await tap.stop();
    }
  });
}

test('WHIP leaves, RTMP takes over, and back: one peer connection of the watch page', async () => {
  const SPY = ['clock', 'spy'].map((name) => ({ path: fileURLToPath(new URL(`lab/${name}.js`, import.meta.url)) }));
  const stream = 'rtmp-chain';
  const watch = await rig.open(`${weir.origin}/watch/${stream}`, { name: stream, init: SPY });
  const whip = await reel({ width: 640, height: 360 });
  const sources = [whip, await byRtmp('defaults', { width: 854, height: 480 }), await byRtmp('plain', { width: 320, height: 180 }), whip];
  for (const source of sources) {
    const began = Date.now();
    const running = await source.start(weir, stream);
    // Its pictures are there, and go on; and so is its sound.
    const seen = await until(`${source.name} is seen and heard`, async () => {
      const { frames, beeps, samples } = await watch.evaluate((since) => spy.since(since), began);
      const ours = frames.filter(({ size }) => size === source.size);
      return ours.length > 90 && beeps.length > 3 ? { first: ours[0].at - began, freezes: samples.at(-1).freezes } : Promise.reject(new Error(
        `${ours.length} of ${frames.length} pictures, ${beeps.length} beeps: ${JSON.stringify(await weir.stream(stream))}\n${running.log()}`));
    });
    console.log(`${source.name}: first picture ${ms(seen.first)} ms after its start, ${seen.freezes} freezes so far`);
    await running.end('SIGINT');
    await until('it has left', async () => (await weir.stream(stream))?.state !== 'live');
  }
  assert.equal(await watch.evaluate(() => connections.length), 1, 'one peer connection');
  assert.equal(await watch.evaluate(() => connections[0].connectionState), 'connected');
  clean(watch);
  await watch.shot();
  await watch.done();
});

test('the watch page plays what has B-frames, with its sound', async () => {
  const encoder = publishFilm(weir.rtmp('rtmp-page'), films.defaults);
  const watch = await rig.open(`${weir.origin}/watch/rtmp-page`, { name: 'rtmp-page' });
  await shows(watch, 'playing');
  await decodes(watch, { codec: 'video/H264', width: BIG.width, height: BIG.height });
  clean(watch);
  await watch.shot();
  await watch.done();
  await encoder.stop();
});
