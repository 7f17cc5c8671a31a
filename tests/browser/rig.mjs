// One Chromium, one lab page server and one `weir` per test file, and what the tests ask of them.

import { after } from 'node:test';
import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startWeir } from './weir.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const OUT = join(HERE, 'out');
const CHROMIUM = process.env.WEIR_TEST_CHROMIUM ?? '/usr/bin/chromium';
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

/// Starts all of it; everything ends with the test file. `program`: what to start instead of Chromium, given its path.
export async function startRig({ weir: options = {}, server = true, args = [], program = (chromium) => chromium } = {}) {
  if (!existsSync(CHROMIUM)) throw new Error(`no Chromium at ${CHROMIUM}: \`make test\` installs it`);
  await mkdir(OUT, { recursive: true });
  const rig = { extra: new Map(), pages: [] };
  const closers = [];
  after(async () => {
    for (const close of closers.reverse()) await close();
    // A thread of a native library must not keep the process when all tests are done; results and exit code stay.
    setTimeout(() => process.exit(), 5000).unref();
  });
  if (server) {
    rig.weir = await startWeir(options);
    closers.push(() => rig.weir.stop());
  }
  const lab = await serveLab(rig.extra);
  closers.push(() => lab.close());
  rig.labOrigin = lab.origin;
  rig.browser = await chromium.launch({
    executablePath: await program(CHROMIUM),
    args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream=fps=30',
      '--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns', ...args],
  });
  closers.push(() => rig.browser.close());
  rig.open = (url, how) => openPage(rig, url, how);
  rig.lab = (name) => openPage(rig, `${lab.origin}/index.html`, { name, ready: () => window.lab });
  return rig;
}

/// Serves lab/ and whatever bundle a test puts into `extra`, from an origin that is not Weir's: so CORS is tried too.
async function serveLab(extra) {
  const http = createServer(async (request, reply) => {
    const name = new URL(request.url, 'http://lab').pathname.slice(1);
    try {
      const body = extra.get(name) ?? await readFile(join(HERE, 'lab', name.replaceAll('..', '')));
      reply.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(body);
    } catch {
      reply.writeHead(404).end();
    }
  });
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  return {
    origin: `http://127.0.0.1:${http.address().port}`,
    close: () => new Promise((done) => { http.close(done); http.closeAllConnections(); }),
  };
}

/// Opens a page in a fresh context. `page.errors` fills with everything that the console calls an error.
async function openPage(rig, url, { name, viewport = { width: 1280, height: 800 }, ready, init, colorScheme = 'dark'} = {}) {
  const context = await rig.browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.errors = [];
  page.on('console', (line) => line.type() === 'error' && page.errors.push(`${line.text()} (${line.location().url})`));
  page.on('pageerror', (error) => page.errors.push(String(error)));
  // Every peer connection that a page makes, in order: how a test looks inside without the page's help.
  await page.addInitScript(() => {
    window.connections = [];
    const Real = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      constructor(...args) {
        super(...args);
        window.connections.push(this);
      }
    };
  });
  // One script or several, each as `addInitScript` takes it.
  for (const script of [init ?? []].flat()) await page.addInitScript(script);
  await page.goto(url);
  if (ready) await page.waitForFunction(ready).catch((error) => { throw new Error(`${url}: ${error.message}\n${page.errors.join('\n')}`); });
  page.shot = (as = name) => page.screenshot({ path: join(OUT, `${as}.png`) });
  page.done = () => context.close();
  return page;
}

/// Polls `test` until it gives something truthy; the message of the failure says what was seen last.
export async function until(what, test, ms = 20000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await test();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms; last seen: ${last instanceof Error ? last.stack : JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/// The inbound statistics of a page's newest connection, or of the lab's viewer of this `id`: `{ video, audio }`.
export async function inbound(page, id) {
  return page.evaluate(async (id) => {
    const pc = id ? lab.viewers[id]?.pc : window.connections.at(-1);
    if (!pc) return null;
    const all = [...(await pc.getStats()).values()];
    const of = (kind) => {
      const rtp = all.find((r) => r.type === 'inbound-rtp' && r.kind === kind);
      return rtp && { ...rtp, codec: all.find((c) => c.id === rtp.codecId)?.mimeType };
    };
    return { video: of('video'), audio: of('audio') };
  }, id);
}

/// Waits until the page's newest connection decodes `codec` at this width, and goes on doing so.
export async function decodes(page, { codec, width, height }, ms = 20000) {
  const fits = async () => {
    const now = await inbound(page);
    const v = now?.video;
    return v && v.framesDecoded > 0 && (!codec || v.codec?.toLowerCase() === codec.toLowerCase())
      && (!width || v.frameWidth === width) && (!height || v.frameHeight === height) ? v : null;
  };
  let last;
  const first = await until(`${codec ?? 'video'} ${width ?? ''}x${height ?? ''} decoded`, async () => (await fits()) ?? ((last = await inbound(page)), null), ms)
    .catch((error) => { throw new Error(`${error.message} ${JSON.stringify(last)}`); });
  return until('frames go on', async () => {
    const v = await fits();
    return v && v.framesDecoded >= first.framesDecoded + 15 ? v : null;
  }, ms);
}

/// No console error and no exception on these pages.
export function clean(...pages) {
  for (const page of pages) {
    const distinct = [...new Set(page.errors.map((line) => line.slice(0, 300)))];
    if (distinct.length) throw new Error(`${page.errors.length} console errors on ${page.url()}:\n${distinct.slice(0, 5).join('\n')}`);
  }
}

/// Both channels sound on the page's media element: left the first frequency, right the second, and (if `stereo`) neither in the
/// other's channel. Measured on what the browser decodes, as energy per channel and frequency.
export async function hears(page, element, [left, right], { stereo = true } = {}) {
  const loud = -45; // dBFS at the peak bin; the sources are near -20, silence is below -90.
  let seen;
  return until(`${left} Hz left and ${right} Hz right heard`, async () => {
    seen = await page.evaluate(spectrum, { element, frequencies: [left, right] });
    const [l, r] = seen;
    const there = Math.max(l[0], r[0]) > loud && Math.max(l[1], r[1]) > loud;
    const apart = l[0] > l[1] + 20 && r[1] > r[0] + 20;
    return there && (!stereo || apart) ? seen : null;
  }).catch((error) => { throw new Error(`${error.message}: ${JSON.stringify(seen)}`); });
}

/// Runs in the page: decibels at each frequency in each channel of what `element` plays, `[channel][frequency]`.
async function spectrum({ element, frequencies }) {
  const ctx = (window.ears ??= new AudioContext({ sampleRate: 48000 }));
  await ctx.resume();
  const tracks = document.querySelector(element).srcObject.getAudioTracks();
  const source = ctx.createMediaStreamSource(new MediaStream(tracks));
  const splitter = ctx.createChannelSplitter(2);
  source.connect(splitter);
  const channels = [0, 1].map((channel) => {
    const analyser = new AnalyserNode(ctx, { fftSize: 8192, smoothingTimeConstant: 0 });
    splitter.connect(analyser, channel);
    return analyser;
  });
  // One whole window of samples.
  await new Promise((done) => setTimeout(done, (8192 / ctx.sampleRate) * 1000 + 300));
  const seen = channels.map((analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return frequencies.map((hz) => Math.max(-140, bins[Math.round((hz * analyser.fftSize) / ctx.sampleRate)]));
  });
  source.disconnect();
  splitter.disconnect();
  return seen;
}

/// Waits until the page says that it is in this state (`data-state` of the document).
export function shows(page, state, ms = 20000) {
  return until(`${page.url()} shows ${state}`, async () => {
    const now = await page.evaluate(() => document.documentElement.dataset.state);
    return now === state ? now : Promise.reject(new Error(`it shows ${now}: ${await page.innerText('body')}`));
  }, ms);
}
