// Instant start: who joins between two keyframes sees a picture at once, is soon as live as everybody else, and has no freeze, no lost lip-sync
// and no fuller buffer to pay for it. On loopback, and behind a link with half as much again as the stream needs.
//
// The publisher is FFmpeg with a film encoded before: it ignores PLI, so nothing but the server's memory can help. All times are from the POST; the
// offer is ready before. The age of the GOP is what a viewer on loopback shows at that moment: the counter in the picture.
//
// Sound and picture: by this way to measure, a viewer of another page's film, no server between, has its sound 50 to 70 ms after its pictures
// in its first seconds. Part of that is Chromium's (its audio buffer begins with 80 ms, and it moves both towards each other by some 20 ms in
// two seconds), part the way to measure. So each run measures it anew, and on loopback the limit holds for the difference. On the thin link each
// keyframe fills the queue that the sound waits in, and Chromium's audio buffer grows to 160 ms: that is the link, not the start, so the
// limit holds for the difference to who joins there with a keyframe and has nothing to catch up with. The table has all as measured.
//
// `npm run instant` is the long form: 720p, three joins of each kind (WEIR_INSTANT_JOINS), medians as a table.

import test from 'node:test';
import assert from 'node:assert/strict';
import { crowd } from './crowd.mjs';
import { enter, floor, join, median, regular, seat, stats } from './join.mjs';
import { startLink } from './link.mjs';
import { GOP, reel, show } from './reel.mjs';
import { startRig, until } from './rig.mjs';

const LONG = process.env.WEIR_INSTANT === 'long';
const JOINS = Number(process.env.WEIR_INSTANT_JOINS ?? (LONG ? 3 : 1));
const FILM = LONG ? { width: 1280, height: 720, bitrate: 2000000 } : { width: 640, height: 360, bitrate: 1000000 };
const AGES = [0.5, 2, 3.9];
/// What has been there for so long is steady, in ms.
const STEADY = 15000;
/// The link: its rate is the stream's times this, its queue is in bytes, its delay each way in ms.
const LINK = { times: 1.5, queue: 125000, delay: 20 };

const rig = await startRig();
const { weir } = rig;
const url = weir.whep('instant');
const film = await reel(FILM);
const publisher = show(weir.whip('instant'), film);
test.after(() => publisher.stop());
await until('the film is on', async () => (await weir.stream('instant'))?.state === 'live').catch((error) => {
  throw new Error(`${error.message}\n${publisher.log()}`);
});
const { listeners } = await weir.api('server');
const target = Number(listeners.find((l) => l.transport === 'udp').address.split(':').at(-1));
const link = async () => {
  const made = await startLink({ target, rate: film.bitrate * LINK.times, queue: LINK.queue, delay: LINK.delay });
  test.after(() => made.stop());
  return made;
};

// Both old viewers are there from the beginning, so that neither has to be waited for.
const steady = await seat(rig, 'steady');
await enter(steady, { url });
const slow = await seat(rig, 'steady-slow');
const slowLink = await link();
await enter(slow, { url, port: slowLink.port });
const since = Date.now();
/// Their statistics when they had become steady.
let settled;
const rows = [];
/// How much later than its picture sound is anyway, in ms: `{ loopback, 'thin link' }`.
const own = {};

test('one page straight to another', async () => {
  const { av, typical, skew } = await floor(rig, FILM);
  console.log(`page to page, after 3 s: sound ${ms(av)} ms after its picture at worst, ${ms(typical)} ms as a rule; ${ms(skew)} ms when both left`);
  own.loopback = av;
});

for (const age of AGES) {
  test(`loopback, a GOP of ${age} s`, async () => {
    const joins = await several('loopback', age, () => join(rig, { url, age, guide: steady, steady }));
    hold(joins, (one) => ({ ...quality(one, own.loopback), 'at most 200 ms behind the steady viewer within 1.5 s (live)': one.live <= 1500 }));
  });
}

test('loopback: a picture at once', () => {
  const first = median(rows.filter((row) => row.way === 'loopback').flatMap(({ joins }) => joins.map((one) => one.first)));
  assert.ok(first <= 250, `first frame after ${ms(first)} ms, the median of all ages; at most 250 are allowed`);
});

test(`a link of ${LINK.times} times the bitrate, with a keyframe`, async () => {
  const [one] = await several('thin link', 0, joinThin, 1);
  assert.ok(Number.isFinite(one.av), 'sound and picture are there');
  own['thin link'] = one.av;
});

for (const age of AGES) {
  test(`a link of ${LINK.times} times the bitrate, a GOP of ${age} s`, async () => {
    const joins = await several('thin link', age, () => joinThin(age));
    hold(joins, (one) => quality(one, own['thin link']));
  });
}

test('50 joins in one second disturb nobody', async () => {
  const before = await stats(steady);
  const joined = await crowd(url);
  const after = await stats(steady);
  const change = (what) => after.video[what] - before.video[what];
  console.log(`50 joins: ${JSON.stringify(joined)}; the steady viewer meanwhile: ${change('framesDecoded')} frames, ${change('freezeCount')} freezes, ${change('packetsLost')} lost`);
  assert.equal(joined.playing, joined.viewers, 'all of them get pictures');
  assert.equal(change('freezeCount'), 0, 'freezes of the steady viewer');
  assert.equal(change('packetsLost'), 0, 'packets that the steady viewer lost');
});

test('whoever was there saw nothing of it', async () => {
  const old = { loopback: await regular(steady, settled.steady), 'thin link': await regular(slow, settled.slow) };
  console.log(table(old));
  for (const [way, one] of Object.entries(old)) assert.equal(one.lost, 0, `${way}: packets lost`);
  const { frames, keyframes } = old.loopback;
  assert.ok(keyframes <= Math.ceil(frames / GOP) + 1, `${keyframes} keyframes in ${frames} frames: the publisher makes some when asked, so that this file proves nothing`);
});

/// Joins through a link of its own.
async function joinThin(age = 0) {
  const made = await link();
  const one = await join(rig, { url, port: made.port, age, guide: steady, steady: slow });
  one.link = await made.stats();
  await made.stop();
  return one;
}

/// Joins as often as this run wants, once the old viewers are old enough; all of them go into the table.
async function several(way, age, once, times = JOINS) {
  await new Promise((done) => setTimeout(done, Math.max(0, since + STEADY - Date.now())));
  settled ??= { steady: await stats(steady), slow: await stats(slow) };
  const joins = [];
  rows.push({ way, age, joins });
  for (let i = 0; i < times; i++) joins.push(await once());
  return joins;
}

/// What holds on every way. `own`: what the way itself puts between picture and sound.
const quality = (one, own) => ({
  'no freeze from 2 s on (freezes)': one.freezes === 0,
  [`sound and picture at most 60 ms further apart than ${ms(own)} ms from 3 s on (av)`]: Math.abs(one.av - own) <= 60,
  "a jitter buffer of at most the steady viewer's + 20 ms after 10 s (buffer, steadyBuffer)": one.buffer <= one.steadyBuffer + 20,
});

/// Every rule holds for every join; says which did not, with all numbers.
function hold(joins, rules) {
  const broken = joins.flatMap((one) => {
    const missed = Object.entries(rules(one)).filter(([, held]) => !held).map(([rule]) => `not so: ${rule}`);
    return missed.length ? [...missed, JSON.stringify(one, (_, value) => (Number.isFinite(value) ? Math.round(value * 100) / 100 : value))] : [];
  });
  assert.ok(!broken.length, broken.join('\n'));
}

function ms(value) {
  return Number.isFinite(value) ? String(Math.round(value)) : '–';
}

/// Medians of the joins, and the old viewers below.
function table(scale) {
  const of = (joins, what) => ms(median(joins.map((one) => one[what])));
  const all = (joins, what) => joins.map((one) => one[what]).join(' ');
  const lines = rows.filter(({ joins }) => joins.length).map(({ way, age, joins }) => [
    way, age, of(joins, 'first'), of(joins, 'live'), of(joins, 'lag'), all(joins, 'freezes'), of(joins, 'gap'), of(joins, 'av'), of(joins, 'stats'),
    of(joins, 'buffer'), of(joins, 'steadyBuffer'), all(joins, 'lost'), all(joins, 'nacks'), of(joins, 'stall')]);
  for (const [way, one] of Object.entries(scale)) lines.push([way, 'steady', '', '', '', one.freezes, '', ms(one.av), ms(one.stats), ms(one.buffer), '', one.lost, '', '']);
  lines.push(['page to page', 0, '', '', '', '', '', ms(own.loopback), '', '', '', '', '', '']);
  const head = ['way', 'GOP age', 'first', 'live', 'behind', 'freezes', 'longest gap', 'A/V', 'A/V by stats', 'buffer', 'steady buffer', 'lost', 'NACKs', 'stall'];
  return [`${FILM.width}x${FILM.height}, ${Math.round(film.bitrate / 1000)} kbit/s with sound; ms after the POST, medians of ${JOINS}`,
    head, head.map(() => '---'), ...lines].map((row) => (Array.isArray(row) ? `| ${row.join(' | ')} |` : row)).join('\n');
}
