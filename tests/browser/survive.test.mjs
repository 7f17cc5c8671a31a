// Streams that survive people: somebody watches while publishers are killed, cut off, restarted and replaced, by other programs, in other
// codecs and sizes, with sound alone and pictures alone. One page, one peer connection, one viewer through all of it.
//
// After each return pictures (or sound) go on within a second of the publisher's first keyframe (or sound). When that left is what the
// publisher says: Chromium by the last look at its statistics that saw none, FFmpeg when it had keys to send with, webrtc-rs
// itself. Each of these is a bit too early, so that the times here are a bit too long.
//
// Lips and voice: Chromium and FFmpeg flash and beep at once, see `lab/spy.js`; webrtc-rs does not, so there the browser's own reckoning from
// the sender reports has to do. What is held is what nobody notices (ITU-R BT.1359: sound up to 45 ms early, up to 125 ms late), and 35 ms
// more on the early side, for the way to measure: `instant.test.mjs` says what that puts between the two by itself.
//
// `npm run survive` is the long form: three minutes with ten changes. The short one has seven in one minute.

import test from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { median } from './join.mjs';
import { clean, startRig, until } from './rig.mjs';
import { chromium, ffmpeg, film, webrtcRs } from './sources.mjs';

const LONG = process.env.WEIR_SURVIVE === 'long';
/// Each change has this long, in ms; and what comes then is watched for at least so long.
const STEP = LONG ? 18000 : 0;
const WATCHED = 6000;
/// Chromium brings sound and pictures together in small steps, by sender reports that come seconds apart: by then it has.
const TOGETHER = 15000;
/// The limits, in ms.
const RETURN = 1000;
const NOTICED = 2000;
const APART = { early: 80, late: 125 };

const SPY = ['clock', 'spy'].map((name) => ({ path: fileURLToPath(new URL(`lab/${name}.js`, import.meta.url)) }));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ms = (value) => (Number.isFinite(value) ? String(Math.round(value)) : '–');

const rig = await startRig();
const { weir } = rig;
const STREAM = 'survive';

const big = { width: 1920, height: 1080 };
const small = { width: 640, height: 360 };
const first = await chromium(rig, { codec: 'VP8', ...small });
/// How what is there ends, and what comes after it.
const changes = [
  ['DELETE', await chromium(rig, { codec: 'H264', ...big, fps: 15 })],
  ['crash', await film(small)],
  ['SIGKILL', await webrtcRs({ codec: 'vp8', ...big, kbps: 1500 })],
  ['SIGTERM', await chromium(rig, { video: false })],
  ['takeover', await ffmpeg({ ...big, fps: 15, sound: false })],
  ['SIGTERM', await webrtcRs({ codec: 'h264', ...small, kbps: 900 })],
  ['cut', 'healed'],
];
if (LONG) {
  changes.push(
    ['takeover', await chromium(rig, { codec: 'VP8', ...big, fps: 15, link: true })],
    ['cut', await film(small)],
    ['SIGKILL', await film(small)],
  );
}

test(`${changes.length} changes`, async () => {
  const watch = await rig.open(`${weir.origin}/watch/${STREAM}`, { name: 'survive', init: SPY });
  await watch.evaluate(() => { window.untouched = true; });
  const broken = [];
  const rows = [];
  const note = (row) => {
    rows.push(row);
    console.log(row.join(' | '));
  };
  note(['change', 'came back as', 'noticed', 'away', 'first keyframe → decoded', '→ shown', 'A/V', 'A/V by stats', 'after', 'frames/s', 'freezes', 'stall']);

  let { running, seen: began } = await arrive(watch, 'start', first);
  note(['–', ...line(began)]);
  broken.push(...judge(began, {}, first).map((problem) => `start: ${problem}`));
  let source = first;
  for (const [how, next] of changes) {
    const what = `${how}: ${source.name} → ${next.name ?? next}`;
    const at = Date.now();
    const ending = await end(watch, running, how);
    if (next === 'healed') running.heal();
    else source = next;
    const after = await arrive(watch, what, source, next === 'healed' ? { running, since: Date.now() } : {});
    if (next !== 'healed' && ending.left) await ending.left.drop();
    running = after.running;
    const { seen } = after;
    note([how, ...line({ ...seen, ...ending })]);
    broken.push(...judge(seen, ending, source).map((problem) => `${what}: ${problem}`));
    await sleep(at + STEP - Date.now());
  }
  await running.drop();
  assert.equal(await watch.evaluate(() => connections.length), 1, 'one peer connection');
  assert.equal(await watch.evaluate(() => connections[0].connectionState), 'connected');
  assert.equal(await watch.evaluate(() => window.untouched), true, 'the page was never loaded again');
  assert.ok(!broken.length, broken.join('\n'));
  clean(watch);
  await watch.shot();
  await watch.done();
});

/// Ends what is running, and waits until nothing comes any more, unless somebody takes over. `cut` nobody tells the server of: it has to notice.
async function end(watch, running, how) {
  const at = Date.now();
  if (how === 'takeover') {
    // The old one ends when the new one has come; see `arrive`.
    return { left: running };
  }
  await running.end(how);
  let noticed;
  if (how === 'cut') {
    await until('interrupted', async () => (await weir.stream(STREAM))?.state === 'interrupted', 5000).then(
      () => { noticed = Date.now() - at; },
      () => { noticed = Infinity; },
    );
  }
  await until('silence', async () => {
    const { frames, samples } = await watch.evaluate((since) => spy.since(since), Date.now() - 500);
    return !frames.length && samples.length > 5 && samples.at(-1).audioPackets === samples[0].audioPackets;
  });
  return how === 'cut' ? { noticed, left: running } : {};
}

/// Starts a source, unless it is `running`, and watches what arrives of it.
async function arrive(watch, what, source, { running, since } = {}) {
  await watch.evaluate((flash) => spy.read({ flash }), source.flash);
  running ??= await source.start(weir, STREAM);
  const left = await running.first(since).catch((error) => { throw new Error(`${what}: ${error.message}\n${running.log()}`); });
  const look = async () => returned(await watch.evaluate((from) => spy.since(from), left - 1500), left, source);
  await until(`${what}: it comes back`, async () => Number.isFinite((await look()).decoded), 10000).catch(async (error) => {
    throw new Error(`${error.message}\n${JSON.stringify(await weir.stream(STREAM))}\n${running.log()}`);
  });
  const came = Date.now();
  await sleep(WATCHED);
  let seen = await look();
  while (apart(seen, source).length && Date.now() - came < TOGETHER) {
    await sleep(500);
    seen = await look();
  }
  return { running, seen: { name: source.name, together: Date.now() - came, ...seen } };
}

/// What the notes say of the return of a source whose first keyframe, or sound, left at `left`.
function returned({ frames, flashes, beeps, samples, stalls }, left, source) {
  const ours = ({ at, size }) => at > left && size === source.size;
  const went = samples.slice(1).find((now, i) => {
    const before = samples[i];
    if (!source.video) return now.at > left && now.heard > before.heard + 15;
    return ours(now) && now.decoded > before.decoded && now.codec?.toLowerCase() === source.mime;
  });
  const shown = frames.find(ours);
  const end = samples.at(-1)?.at;
  const late = samples.filter(({ at }) => at > end - 2500);
  const output = late.at(-1)?.output ?? 0;
  const offsets = flashes.filter((at) => at > end - 3500).flatMap((flash) => {
    const near = beeps.map((beep) => beep + output - flash).filter((apart) => Math.abs(apart) < 330);
    return near.length ? [near[0]] : [];
  });
  const span = late.length > 1 ? (late.at(-1).at - late[0].at) / 1000 : NaN;
  return {
    away: shown && frames.some(({ at }) => at < shown.at) ? shown.at - frames.findLast(({ at }) => at < shown.at).at : NaN,
    decoded: (went?.at ?? Infinity) - left,
    shown: (shown?.at ?? Infinity) - left,
    av: source.flash && source.sound ? median(offsets) : NaN,
    stats: source.video && source.sound ? median(late.map(({ sync }) => sync).filter(Number.isFinite)) : NaN,
    rate: source.video ? (late.at(-1)?.decoded - late[0]?.decoded) / span : NaN,
    heard: source.sound ? (late.at(-1)?.heard - late[0]?.heard) / (1000 * span) : NaN,
    freezes: (samples.at(-1)?.freezes ?? 0) - (samples.find(({ at }) => at > left)?.freezes ?? 0),
    stall: Math.max(0, ...stalls.map(([, long]) => long)),
  };
}

const line = (seen) => [seen.name, ms(seen.noticed), ms(seen.away), ms(seen.decoded), ms(seen.shown), ms(seen.av), ms(seen.stats), ms(seen.together), ms(seen.rate), seen.freezes, seen.stall];

/// What is wrong with it, in words.
function judge(seen, ending, source) {
  const problems = [];
  const hold = (good, text) => good || problems.push(text);
  const back = source.video ? ['pictures', seen.decoded] : ['sound', seen.decoded];
  hold(back[1] <= RETURN, `${back[0]} came ${ms(back[1])} ms after the publisher's first; at most ${RETURN} are allowed`);
  if (source.video) hold(seen.rate > source.fps / 2, `${ms(seen.rate)} of ${source.fps} frames/s`);
  if (source.sound) hold(seen.heard > 0.8, `${ms(100 * seen.heard)} % of the sound`);
  if (ending.noticed !== undefined) hold(ending.noticed <= NOTICED + 300, `interrupted after ${ms(ending.noticed)} ms; at most ${NOTICED} are allowed`);
  return [...problems, ...apart(seen, source)];
}

/// How sound and pictures are apart, in words, where that is too much.
function apart(seen, source) {
  const ways = source.sound && source.video ? [['flash to beep', 'av'], ['by the sender reports', 'stats']] : [];
  return ways.filter(([, key]) => key !== 'av' || source.flash)
    .filter(([, key]) => !(seen[key] >= -APART.early && seen[key] <= APART.late))
    .map(([way, key]) => `sound is ${ms(seen[key])} ms late ${way}; at most ${APART.late} and ${APART.early} early are allowed`);
}
