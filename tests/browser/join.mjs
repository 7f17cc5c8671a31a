// One viewer joins a running film at a moment of the test's choice, and what it then saw and heard, beside a viewer who has been there for long.

import { fileURLToPath } from 'node:url';
import { BEEP, FPS, FRAMES, GOP } from './reel.mjs';
import { clean } from './rig.mjs';

const SEAT = fileURLToPath(new URL('lab/seat.js', import.meta.url));
const FRAME = 1000 / FPS;
/// How far behind still counts as live, in ms.
const LIVE = 200;
/// Milliseconds after the POST: freezes count from the first; the buffers are compared between the next two; all is over at the last.
const [SETTLED, FROM, TO] = [2000, 10000, 12000];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const until = (when) => sleep(when - (performance.timeOrigin + performance.now()));

/// A page with everything ready for the POST.
export async function seat(rig, name) {
  const page = await rig.open(`${rig.labOrigin}/index.html`, { name, viewport: { width: 320, height: 240 }, ready: () => window.lab });
  await page.addScriptTag({ path: SEAT });
  await page.evaluate(() => seat.prepare());
  return page;
}

/// Takes the seat: see `enter` in lab/seat.js.
export const enter = (page, how) => page.evaluate((how) => seat.enter(how), how);
export const stats = (page) => page.evaluate(() => seat.stats());
const notes = (page) => page.evaluate(() => seat.notes());

/// Joins when `guide` shows the frame that is `age` seconds after a keyframe, `steady` being the old viewer to compare with.
export async function join(rig, { url, port, age, guide, steady }) {
  const page = await seat(rig, 'joiner');
  await sleep(500); // A page that has just been opened is still busy with itself.
  const [shown, number] = await guide.evaluate(() => seat.last());
  const ahead = (Math.round(age * FPS) - number) * FRAME;
  const lead = performance.timeOrigin + performance.now() - shown + 100;
  const at = shown + ahead + Math.ceil(Math.max(0, lead - ahead) / (GOP * FRAME)) * GOP * FRAME;
  const entered = await enter(page, { url, port, at });
  const moments = [];
  for (const ms of [SETTLED, FROM, TO]) {
    await until(entered.at + ms);
    const [mine, theirs] = await Promise.all([stats(page), stats(steady)]);
    moments.push({ mine, theirs });
  }
  // What the server did for it, for whoever has to find out why it was not enough.
  const { entries } = await rig.weir.api(`sessions/${entered.resource.split('/').at(-1).slice(0, 8)}/logs`);
  const seen = { entered, moments, mine: await notes(page), theirs: await notes(steady), guide: await notes(guide) };
  await page.evaluate(() => seat.leave());
  clean(page);
  await page.done();
  return { ...judge(seen), log: entries };
}

/// What the browser and this way to measure do by themselves: a viewer who joins a film that another page makes, with no server between. How
/// much later than its flash each beep is heard, worst and typical, less what it was later when both left.
export async function floor(rig, film) {
  const source = await rig.open(`${rig.labOrigin}/index.html`, { name: 'film', viewport: { width: 320, height: 240 }, ready: () => window.lab });
  await source.addScriptTag({ path: SEAT });
  const page = await seat(rig, 'floor');
  await page.exposeFunction('direct', (offer) => source.evaluate((how) => seat.film(how), { offer, ...film, fps: FPS, beep: BEEP }));
  const entered = await enter(page, {});
  await until(entered.at + TO);
  const [seen, made, { output }] = await Promise.all([notes(page), notes(source), stats(page)]);
  const late = offsets(seen, output).filter(({ when }) => when - entered.at > 3000);
  const skew = median(offsets(made, 0).map(({ ms }) => ms));
  for (const one of [page, source]) {
    await one.evaluate(() => seat.leave());
    clean(one);
    await one.done();
  }
  return { av: worst(late) - skew, typical: median(late.map(({ ms }) => ms)) - skew, skew };
}

/// The numbers of a join, all times in ms.
function judge({ entered, moments: [settled, from, to], mine, theirs, guide }) {
  const since = (when) => when - entered.at;
  const lag = behind(mine.frames, theirs.frames);
  const later = mine.frames.filter(([when]) => since(when) >= SETTLED);
  return {
    age: (shownAt(guide.frames, entered.at) % GOP) / FPS,
    answered: entered.answered,
    connected: entered.connected,
    first: mine.frames.length ? since(mine.frames[0][0]) : Infinity,
    live: live(mine.frames, lag, since),
    lag: median(lag.filter((_, i) => since(mine.frames[i][0]) > 5000)),
    freezes: (to.mine.video.freezeCount ?? 0) - (settled.mine.video.freezeCount ?? 0),
    allFreezes: to.mine.video.freezeCount ?? 0,
    gap: Math.max(0, ...later.slice(1).map(([when], i) => when - later[i][0])),
    av: worst(offsets(mine, to.mine.output).filter(({ when }) => since(when) > 3000)),
    buffer: buffer(from.mine, to.mine),
    steadyBuffer: buffer(from.theirs, to.theirs),
    lost: to.mine.video.packetsLost ?? 0,
    nacks: to.mine.video.nackCount ?? 0,
    stats: playing(to.mine),
    steadyLost: to.theirs.video.packetsLost - settled.theirs.video.packetsLost,
    steadyFreezes: to.theirs.video.freezeCount - settled.theirs.video.freezeCount,
    // The longest time that either page was kept from running at all: a machine busy with something else freezes pictures too.
    stall: Math.max(0, ...[...mine.stalls, ...theirs.stalls].filter(([when]) => since(when) > 0).map(([, ms]) => ms)),
    unread: mine.unread,
  };
}

/// What a viewer who has been there for long has seen and heard since it had these statistics, 15 s after its POST or later: the scale for
/// the others.
export async function regular(page, { video: then }) {
  const [seen, { video: now, audio, output }] = await Promise.all([notes(page), stats(page)]);
  const heard = offsets(seen, output).filter(({ when }) => when > then.timestamp).map(({ ms }) => ms);
  const change = (what) => now[what] - then[what];
  return {
    av: median(heard),
    stats: playing({ video: now, audio }),
    buffer: (1000 * change('jitterBufferDelay')) / change('jitterBufferEmittedCount'),
    freezes: change('freezeCount'),
    lost: change('packetsLost'),
    frames: change('framesDecoded'),
    keyframes: change('keyFramesDecoded'),
  };
}

/// The number that was shown at a moment.
function shownAt(frames, when) {
  let [low, high] = [0, frames.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle][0] <= when) low = middle + 1;
    else high = middle;
  }
  return low ? frames[low - 1][1] : NaN;
}

/// How far behind the other's picture each of these frames was when it came up.
const behind = (frames, others) => frames.map(([when, number]) => {
  const ahead = shownAt(others, when) - number;
  return (((ahead + 1.5 * FRAMES) % FRAMES) - FRAMES / 2) * FRAME;
});

/// When the picture was live to stay: moving, and never more than `LIVE` behind for the next half second.
function live(frames, lag, since) {
  for (let i = 0; i < frames.length; i++) {
    const end = frames[i][0] + 500;
    let next = i;
    while (next < frames.length && frames[next][0] <= end && lag[next] <= LIVE + 1) next++;
    const broken = next < frames.length && frames[next][0] <= end;
    if (!broken && next - i >= 10) return since(frames[i][0]);
  }
  return Infinity;
}

/// How much later than its flash each beep reached the ear.
const offsets = ({ flashes, beeps }, output) => flashes.flatMap((when) => {
  const near = beeps.map((beep) => beep + output - when).filter((ms) => Math.abs(ms) < (BEEP * FRAME) / 2);
  return near.length ? [{ when, ms: near[0] }] : [];
});

/// The largest in size, one by itself not counting: of each three in a row the middle one.
function worst(offsets) {
  const middles = offsets.slice(2).map((_, i) => median(offsets.slice(i, i + 3).map(({ ms }) => ms)));
  return middles.length ? middles.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) : Infinity;
}

/// The same by the browser's own reckoning, from the sender reports: how much later sound is than pictures. No number without reports.
export const playing = ({ video, audio }) => video.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp;

const buffer = (from, to) => (1000 * (to.video.jitterBufferDelay - from.video.jitterBufferDelay))
  / (to.video.jitterBufferEmittedCount - from.video.jitterBufferEmittedCount);

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN;
}
