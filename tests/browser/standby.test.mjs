// A standby publisher takes over when the first falls silent, and gives back when that one returns: measured by the machine's clock that both burn
// into their pictures. `stream.on_conflict = "standby"`.
//
// The gap is what a viewer lost: from the last picture of the one to the first picture of the other that is newer, by the clock in them and by the
// time on the screen. Before that one there may be older ones, from the other's group of pictures, where its keyframe took too long: how far they go
// back is printed.

import test from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { clean, startRig, until } from './rig.mjs';
import { chromium } from './sources.mjs';

const LONG = process.env.WEIR_SURVIVE === 'long';
const TIMES = LONG ? 5 : 2;
/// In ms: what is lost, and how long the last picture may stand on a screen that draws when it has time.
const GAP = 500;
const STILL = 650;
const STREAM = 'standby';
const HUES = { first: 200, second: 20 };

const SPY = ['clock', 'spy'].map((name) => ({ path: fileURLToPath(new URL(`lab/${name}.js`, import.meta.url)) }));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const rig = await startRig({ weir: { env: { WEIR_STREAM__ON_CONFLICT: 'standby' } } });
const { weir } = rig;
const source = { codec: 'VP8', width: 640, height: 360, link: true };

/// Whose picture it is.
const whose = ({ hue }) => Object.keys(HUES).find((who) => hue !== null && Math.abs(((hue - HUES[who] + 540) % 360) - 180) < 40);

test('fail-over and back', async () => {
  const watch = await rig.open(`${weir.origin}/watch/${STREAM}`, { name: 'standby', init: SPY });
  await watch.evaluate(() => spy.read({ clock: true }));
  const start = async (who) => {
    const made = await chromium(rig, { ...source, hue: HUES[who] });
    return made.start(weir, STREAM);
  };
  /// All frames since then, with whose they are; waits until the last second shows those of `who` alone, drawn more than a second after it.
  const showing = (who, since, ms) => until(`the picture of the ${who}`, async () => {
    const { frames } = await watch.evaluate((from) => spy.since(from), since);
    const seen = frames.filter(({ clock }) => clock !== null).map((frame) => ({ ...frame, who: whose(frame) }));
    const late = seen.filter(({ at }) => at > Date.now() - 1000);
    const live = late.at(-1)?.clock > (since + 1000) % 2 ** 32;
    return live && late.length > 15 && late.every((frame) => frame.who === who) ? seen : Promise.reject(new Error(JSON.stringify(late.slice(-3))));
  }, ms);

  const began = Date.now();
  const first = await start('first');
  await showing('first', began);
  const second = await start('second');
  await second.first();
  await sleep(2000); // It is warm, and nobody sees it.
  const before = await showing('first', began);
  assert.ok(before.every(({ who }) => who === 'first'), 'the second publisher waits');

  const rows = [];
  for (let i = 0; i < TIMES; i++) {
    const cut = Date.now();
    await first.end('cut');
    rows.push({ what: 'fail-over', ...gap(await showing('second', cut - 1000), 'first', 'second', cut) });
    await sleep(1000); // The first stays away for some seconds, as people do.
    const healed = Date.now();
    await first.heal();
    rows.push({ what: 'back', ...gap(await showing('first', healed - 1000), 'second', 'first', healed) });
    await sleep(1000);
  }
  const left = Date.now();
  await first.end('crash');
  rows.push({ what: 'the first is killed', ...gap(await showing('second', left - 1000), 'first', 'second', left) });
  for (const { what, clock, still, after, back, older } of rows) {
    console.log(`${what}: ${clock} ms of the clock lost, ${Math.round(still)} ms until it went on, ${Math.round(after)} ms after it happened; ${older} older pictures, from ${back} ms back on`);
  }
  const worst = rows.filter(({ clock, still }) => clock > GAP || still > STILL);
  assert.deepEqual(worst, [], `gaps of more than ${GAP} ms`);
  const old = rows.filter(({ older }) => older > 0);
  assert.ok(old.length < rows.length / 2, `older pictures in ${old.length} of ${rows.length} changes`);
  assert.ok(rows.every(({ changes }) => changes === 1), `one change each, not to and fro: ${rows.map(({ changes }) => changes)}`);
  assert.equal(await watch.evaluate(() => connections.length), 1, 'one peer connection');
  await second.end('DELETE');
  clean(watch);
  await watch.shot();
  await watch.done();
});

/// What lies between the last picture of `from` and the first of `to`. `cut`: when it happened.
function gap(frames, from, to, cut) {
  const at = frames.findIndex(({ who }) => who === to);
  const [last, begins] = [frames[at - 1], frames[at]];
  assert.equal(last?.who, from, `pictures of the ${from}, then of the ${to}`);
  const changes = frames.slice(1).filter(({ who }, i) => who !== frames[i].who).length;
  const newer = frames.findIndex(({ clock }, i) => i >= at && clock > last.clock);
  const next = frames[newer];
  return { clock: next.clock - last.clock, still: next.at - last.at, after: next.at - cut, changes, older: newer - at, back: Math.max(0, last.clock - begins.clock) };
}
