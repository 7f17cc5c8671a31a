// OBS as people have it: a fresh profile in which nothing is set but server and key, on a screen of its own, ten minutes long, seen and heard by
// Chromium without one freeze. `npm run obs`; WEIR_OBS_SECONDS for another length. Needs obs-studio and xvfb: `scripts/setup.sh obs`.
//
// Its scene is a film (`../film.sh`) that flashes and beeps, so that what is seen and heard can be told from a still and a hiss. The profile is
// OBS's own from there on: x264 "veryfast" with B-frames, a keyframe every 250 pictures, AAC.

import test from 'node:test';
import assert from 'node:assert/strict';
import { makeFilm } from './film.mjs';
import { enter, regular, seat, stats } from './join.mjs';
import { startObs } from './obs-studio.mjs';
import { clean, startRig, until } from './rig.mjs';

const SECONDS = Number(process.env.WEIR_OBS_SECONDS ?? 600);
/// The screen, which a fresh profile takes as its picture.
const [WIDTH, HEIGHT] = (process.env.WEIR_OBS_SCREEN ?? '1280x720').split('x').map(Number);
const LIPS = 125;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const rig = await startRig();
const { weir } = rig;
const film = await makeFilm('plain', { width: WIDTH, height: HEIGHT, frames: 900 });

test(`OBS for ${SECONDS} s`, async () => {
  const obs = await startObs({ server: `rtmp://127.0.0.1:${weir.rtmpPort}/live`, key: 'obs', film: film.path, width: WIDTH, height: HEIGHT });
  const page = await seat(rig, 'obs');
  try {
    await until('OBS is live', async () => (await weir.stream('obs'))?.state === 'live', 60000);
    const live = await weir.stream('obs');
    console.log(JSON.stringify(live.tracks), JSON.stringify(live.warnings));
    await enter(page, { url: weir.whep('obs') });
    await sleep(10000);
    const before = await stats(page);
    const from = Date.now();
    for (let left = SECONDS; left > 0; left -= 30) {
      await sleep(1000 * Math.min(30, left));
      const { video } = await stats(page);
      console.log(`${Math.round((Date.now() - from) / 1000)} s: ${video.framesDecoded} decoded, ${video.freezeCount} freezes, ${video.packetsLost} lost, OBS ${await obs.cpu()} s of CPU`);
      assert.equal((await weir.stream('obs')).state, 'live', obs.log());
    }
    const seen = await regular(page, before);
    const after = await stats(page);
    const notes = await page.evaluate(() => seat.notes());
    const seconds = (after.video.timestamp - before.video.timestamp) / 1000;
    const beeps = notes.beeps.filter((when) => when > from).length / seconds;
    const shown = notes.frames.filter(([when]) => when > from).length;
    const stream = await weir.stream('obs');
    console.log(`${seconds.toFixed(0)} s of OBS: ${(seen.frames / seconds).toFixed(1)} frames/s, ${after.video.freezeCount} freezes, ${after.video.packetsLost} lost, `
      + `${beeps.toFixed(2)} beeps/s, sound ${Math.round(seen.av)} ms after its picture, ${Math.round(seen.stats)} by the sender reports; `
      + `longest stall of the page ${Math.max(0, ...notes.stalls.map(([, long]) => long))} ms; ${JSON.stringify(stream.bridges)}`);
    assert.equal(stream.publisher.protocol, 'rtmp');
    for (const code of ['b_frames', 'keyframe_interval'])
      assert.ok(stream.warnings.some((one) => one.code === code), `a warning of ${code}: ${JSON.stringify(stream.warnings)}`);
    assert.ok(stream.warnings.every(({ text }) => text), 'in words');
    assert.equal(after.video.freezeCount, 0, 'freezes');
    assert.ok(shown > 20 * seconds, `${shown} pictures of the film seen`);
    assert.ok(beeps > 1.3 && beeps < 1.7, `${beeps.toFixed(2)} beeps/s heard of 1.5`);
    assert.ok(Math.abs(seen.av) < LIPS, `sound is ${Math.round(seen.av)} ms late`);
    clean(page);
  } catch (error) {
    throw new Error(`${error.message}\n${obs.log()}`, { cause: error });
  } finally {
    await page.done();
    await obs.stop();
  }
});
