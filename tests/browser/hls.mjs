// Ten minutes of LL-HLS as people watch it, by hls.js on Weir's own page: an encoder by RTMP with AAC and a browser by WHIP with Opus at the same time,
// each with a clock in its pictures, each gone and back once in the middle. What each viewer saw: how late (p50, p95, p99), how often playing ran
// dry, and which share of the time stood still. `npm run hls`; WEIR_HLS_SECONDS says how long (600).
//
// The way through a cache or a CDN is measured by the same: WEIR_HLS_CACHE is a program that is started with the server's address and
// prints its own as its first line; the viewers' pages are asked for there.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { EYE, clockAges, filmAges, freezes, line, own, quantiles, seen } from './audience.mjs';
import { makeFilm, publishFilm } from './film.mjs';
import { clean, startRig, until } from './rig.mjs';
import { startTap } from './tap.mjs';

const SECONDS = Number(process.env.WEIR_HLS_SECONDS ?? 600);
/// What is held at the preset `near`, in ms.
const LATENCY = { p50: 1200, p95: 1600 };
/// Until everything is steady, before the first measuring and after the publisher's return.
const SETTLE = 8000;
/// From the publisher's return to its pictures.
const RETURN = 10000;
const FILM = { width: 1280, height: 720, frames: 1800 };

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const rig = await startRig();
const { weir } = rig;
const origin = process.env.WEIR_HLS_CACHE ? await cache(process.env.WEIR_HLS_CACHE) : weir.origin;

/// Starts what stands between the server and its viewers; gives its address.
async function cache(program) {
  const child = spawn(program, [weir.origin], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill());
  const [first] = await once(createInterface(child.stdout), 'line');
  return first.trim();
}

const sources = {
  async rtmp(stream) {
    const film = await makeFilm('plain', FILM);
    let tap;
    let child;
    return {
      what: `RTMP, H.264 ${FILM.height}p and AAC`,
      reads: 'film',
      async start() {
        tap = await startTap({ target: weir.rtmpPort });
        child = publishFilm(weir.rtmp(stream, tap.port), film);
      },
      async stop() {
        await child.kill('SIGKILL');
        await tap.stop();
      },
      ages: (frames) => filmAges(frames, tap, film.frames),
    };
  },
  async whip(stream) {
    let page;
    return {
      what: 'WHIP, H.264 360p and Opus',
      reads: 'clock',
      async start() {
        page = await rig.lab('hls-publisher');
        await page.evaluate((to) => lab.publish({ ...to, codec: 'video/H264' }), weir.publish(stream));
      },
      async stop() {
        clean(page);
        await page.done();
      },
      ages: clockAges,
    };
  },
};

/// Watches so long, in pieces, so that no page has to keep all its notes.
async function watch(page, source, seconds) {
  const sum = { ages: [], frames: 0, unread: 0, dry: 0, frozen: [], stalls: [] };
  const end = Date.now() + seconds * 1000;
  let from = Date.now();
  while (Date.now() < end) {
    await sleep(Math.min(30000, end - Date.now()));
    const notes = await seen(page, from);
    from = notes.frames.at(-1)?.[0] ?? from;
    const ages = await source.ages(notes.frames);
    sum.ages.push(...ages);
    sum.frames += notes.frames.length;
    sum.unread += notes.frames.length - ages.length;
    sum.dry += notes.dry.length;
    sum.frozen.push(...own(freezes(notes.frames), notes.stalls));
    sum.stalls.push(...notes.stalls);
  }
  return sum;
}

function report(what, { ages, frames, dry, frozen, stalls }, seconds) {
  const still = frozen.reduce((ms, [, gap]) => ms + gap, 0);
  const kept = stalls.reduce((ms, [, long]) => ms + long, 0);
  console.log(`${what}: ${line(quantiles(ages))}; ${(frames / seconds).toFixed(1)} pictures/s; ran dry ${dry} times; `
    + `${frozen.length} freezes, ${((100 * still) / (seconds * 1000)).toFixed(3)} % of the time${frozen.length ? ` (${frozen.map(([, gap]) => gap).join(', ')} ms)` : ''}; `
    + `the page kept from running for ${kept} ms`);
}

test(`${SECONDS} s of LL-HLS`, { timeout: (SECONDS + 180) * 1000 }, async () => {
  const shows = await Promise.all(Object.entries(sources).map(async ([name, make]) => {
    const stream = `hls-${name}`;
    const source = await make(stream);
    await source.start();
    const live = () => until(`${stream} is live`, async () => (await weir.stream(stream))?.state === 'live');
    await live();
    const page = await rig.open(`${origin}/watch/${stream}?via=hls`, { name: stream, init: EYE, viewport: { width: 960, height: 640 } });
    await page.evaluate((what) => eye.read(what), source.reads);
    const plays = () => until(`${stream} plays`, () => page.evaluate(() => window.weir.player.state === 'playing' && window.weir.player.way === 'hls'), 30000);
    await plays();
    return { stream, source, page, plays, live };
  }));
  await sleep(SETTLE);
  const half = Math.max(5, (SECONDS - (SETTLE + RETURN) / 1000) / 2);
  const all = await Promise.all(shows.map(async ({ stream, source, page, plays, live }) => {
    const before = await watch(page, source, half);
    await source.stop();
    await sleep(3000);
    const back = Date.now();
    await source.start();
    await live();
    await plays();
    const first = await until(`${stream} shows the publisher again`, async () => (await seen(page, back)).frames.find(([, what]) => what !== null)?.[0], 30000);
    await sleep(SETTLE);
    const after = await watch(page, source, half);
    const numbers = await page.evaluate(() => window.weir.player.numbers);
    await page.shot();
    return { source, page, first: first - back, numbers, sum: merge(before, after) };
  }));
  for (const { source, page, first, numbers, sum } of all) {
    report(source.what, sum, 2 * half);
    console.log(`  back after ${Math.round(first)} ms; at the end the page says ${JSON.stringify(numbers.hls)}`);
    await source.stop();
    await page.done();
  }
  for (const { source: { what }, first, sum } of all) {
    const latency = quantiles(sum.ages);
    assert.ok(sum.ages.length > 2 * half * 20, `${what}: ${sum.ages.length} pictures read in ${2 * half} s`);
    assert.ok(sum.unread < sum.frames / 50, `${what}: ${sum.unread} of ${sum.frames} pictures could not be read`);
    assert.ok(latency.p50 <= LATENCY.p50 && latency.p95 <= LATENCY.p95, `${what}: ${line(latency)}`);
    assert.equal(sum.frozen.length, 0, `${what}: freezes`);
    assert.ok(first < RETURN, `${what}: back after ${first} ms`);
  }
});

function merge(one, other) {
  return Object.fromEntries(Object.entries(one).map(([key, value]) => [key, Array.isArray(value) ? [...value, ...other[key]] : value + other[key]]));
}
