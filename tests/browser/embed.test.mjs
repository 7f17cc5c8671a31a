// The player on pages of other sites: in an iframe with messages, and as <weir-player> by a script tag.

import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after } from 'node:test';
import { clean, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;

/// A page around the player: keeps every message that arrives, `window.order` sends one.
const around = (src) => `<!doctype html><link rel="icon" href="data:,"><title>another site</title><body>
<iframe id="player" src="${src}" width="640" height="360" allow="autoplay; fullscreen"></iframe>
<script>
  window.said = [];
  addEventListener('message', ({ source, origin, data }) => {
    if (source === player.contentWindow) said.push({ origin, ...data });
  });
  window.order = (message) => player.contentWindow.postMessage({ target: 'weir', ...message }, '*');
</script>`;

const component = (attributes) => `<!doctype html><link rel="icon" href="data:,"><title>another site</title>
<style>button, video { display: none !important } * { color: red; letter-spacing: 9px }</style>
<script>
  window.heard = [];
  for (const name of ['weir-state', 'weir-error', 'weir-layers', 'weir-viewercount', 'weir-stats']) {
    addEventListener(name, ({ type, detail }) => heard.push({ ...detail, type }));
  }
</script>
<script src="${weir.origin}/weir-player.js" async></script>
<weir-player ${attributes}></weir-player>`;

const said = (page, type) => page.evaluate((type) => window.said.filter((m) => m.type === type), type);
const heard = (page, type) => page.evaluate((type) => window.heard.filter((m) => m.type === type), type);
const last = async (list) => (await list).at(-1);

async function site(name, html) {
  rig.extra.set(`${name}.html`, html);
  return rig.open(`${rig.labOrigin}/${name}.html`, { name });
}

test('a page of another site hears the embedded player and gives it orders', async () => {
  const publish = await rig.open(`${weir.origin}/publish/embedded?codec=vp8&simulcast=1&auto=1`, { name: 'embed-publish' });
  await shows(publish, 'live');
  const page = await site('embed-messages', around(`${weir.origin}/embed/embedded?token=a-secret&background=204060`));
  await until('it says that it plays', async () => (await last(said(page, 'state')))?.state === 'playing');
  const { origin, stream, source, media, paused, muted } = await last(said(page, 'state'));
  assert.deepEqual({ origin, stream, source, media, paused, muted }, { origin: weir.origin, stream: 'embedded', source: 'weir', media: 'video', paused: false, muted: true });
  const stats = await until('numbers', async () => (await said(page, 'stats')).find((m) => m.video?.fps > 0 && m.video.width > 0));
  assert.equal(stats.video.codec, 'VP8');
  const { layers } = await until('the layers', async () => {
    const now = await last(said(page, 'layers'));
    return now?.layers.length >= 2 ? now : null;
  });
  const frame = page.frames().find((f) => f.url().includes('/embed/'));

  await page.evaluate(() => order({ type: 'pause' }));
  await until('it says that it is paused', async () => (await last(said(page, 'state'))).paused);
  await page.evaluate(() => order({ type: 'play' }));
  await until('it says that it goes on', async () => !(await last(said(page, 'state'))).paused);
  await page.evaluate(() => order({ type: 'unmute' }));
  await until('it says that it sounds', async () => !(await last(said(page, 'state'))).muted);

  const low = layers.filter((layer) => layer.active).at(-1);
  await page.evaluate((layer) => order({ type: 'layer', layer }), low.id);
  await until('it shows the layer that was ordered', () => frame.evaluate((width) => document.querySelector('video').videoWidth === width, low.width));
  assert.equal((await last(said(page, 'layers'))).layer, low.id);

  // Anybody else's orders are not heard: here from the frame itself, then from a frame beside it.
  const before = (await said(page, 'state')).length;
  await frame.evaluate(() => window.postMessage({ target: 'weir', type: 'stop' }, '*'));
  await page.evaluate(() => new Promise((done) => {
    const other = document.createElement('iframe');
    other.srcdoc = "<script>parent.frames[0].postMessage({ target: 'weir', type: 'stop' }, '*'); parent.postMessage('sent', '*')</script>";
    addEventListener('message', ({ data }) => data === 'sent' && done());
    document.body.append(other);
  }));
  await page.evaluate(() => { window.said.reported = said.length; order({ type: 'report' }); });
  await until('the report', () => page.evaluate(() => said.slice(said.reported).some((m) => m.type === 'state')));
  assert.equal((await last(said(page, 'state'))).state, 'playing');
  assert.ok((await said(page, 'state')).slice(before).every(({ state }) => state !== 'stopped'), 'a stranger stops nothing');

  await page.shot();
  await page.evaluate(() => order({ type: 'stop' }));
  await until('it says that it has stopped', async () => (await last(said(page, 'state'))).state === 'stopped');
  await until('the session is gone', async () => ((await weir.stream('embedded'))?.viewers.whep ?? 0) === 0);
  await page.evaluate(() => order({ type: 'play' }));
  await until('it plays again', async () => (await last(said(page, 'state'))).state === 'playing');
  const all = JSON.stringify(await page.evaluate(() => said));
  assert.ok(!all.includes('a-secret'), 'no message has the token in it');
  clean(page, publish);
  await page.done();
  await publish.done();
});

test('nothing but /embed may be framed', async () => {
  for (const path of ['/', '/watch/x', '/publish/x', '/admin']) {
    const policy = (await fetch(weir.origin + path)).headers.get('content-security-policy');
    assert.match(policy, /frame-ancestors 'none'$/, path);
  }
  const policy = (await fetch(`${weir.origin}/embed/x`)).headers.get('content-security-policy');
  assert.match(policy, /frame-ancestors \*$/);
});

test('<weir-player> on a page of another site, by a script tag', async () => {
  const publish = await rig.open(`${weir.origin}/publish/component?codec=vp8&width=640&height=360&prefer=resolution&auto=1`, { name: 'component-publish' });
  await shows(publish, 'live');
  const page = await site('embed-component', component('stream="component" muted autoplay controls'));
  await until('it plays', async () => (await last(heard(page, 'weir-state')))?.state === 'playing');
  await until('numbers', async () => (await last(heard(page, 'weir-stats')))?.video?.fps > 0);
  const seen = await page.evaluate(() => {
    const player = document.querySelector('weir-player');
    const video = player.shadowRoot.querySelector('video');
    const box = player.getBoundingClientRect();
    return {
      state: player.state, width: video.videoWidth, ratio: Math.round((box.width / box.height) * 9), shown: getComputedStyle(video).display,
      spacing: getComputedStyle(player.shadowRoot.querySelector('.stats-overlay')).letterSpacing, outside: document.querySelector('video'), storage: sessionStorage.length,
    };
  });
  assert.deepEqual(seen, { state: 'playing', width: 640, ratio: 16, shown: 'block', spacing: 'normal', outside: null, storage: 0 });
  await page.shot();

  await page.evaluate(() => document.querySelector('weir-player').pause());
  await until('it is paused', async () => (await last(heard(page, 'weir-state'))).paused);
  await page.evaluate(() => document.querySelector('weir-player').play());
  await until('it goes on', async () => !(await last(heard(page, 'weir-state'))).paused);
  const one = await page.evaluate(() => window.connections.length);
  // Moved within the page it keeps its session; taken from it, it ends it.
  await page.evaluate(() => {
    const player = document.querySelector('weir-player');
    document.body.append(document.createElement('section'));
    document.querySelector('section').append(player);
  });
  await page.evaluate(() => new Promise((done) => setTimeout(done)));
  assert.deepEqual(await page.evaluate(() => [document.querySelector('weir-player').state, window.connections.length]), ['playing', one]);
  await page.evaluate(() => document.querySelector('weir-player').setAttribute('stream', 'nobody-here'));
  await until('it waits for the other stream', async () => (await last(heard(page, 'weir-state'))).state === 'waiting');
  await page.evaluate(() => document.querySelector('weir-player').remove());
  await until('the session is gone', async () => ((await weir.stream('nobody-here'))?.viewers.whep ?? 0) === 0);
  clean(page, publish);
  await page.done();
  await publish.done();
});

test('a full server is said to the page, with the time of the next try', async () => {
  // A server of its own that is full twice, then passes everything on to the real one.
  let refused = 0;
  const full = createServer(async (request, reply) => {
    const cors = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': 'Location, Link, Retry-After' };
    // It has no HLS to fall back to.
    if (request.url.startsWith('/live/')) return reply.writeHead(404, cors).end();
    if (request.method === 'OPTIONS') return reply.writeHead(204, { ...cors, 'Access-Control-Allow-Headers': '*', 'Access-Control-Allow-Methods': '*' }).end();
    if (refused++ < 2) {
      const body = { type: 'urn:weir:problem:full', title: 'The server is full', status: 503, detail: 'try again' };
      return reply.writeHead(503, { ...cors, 'Content-Type': 'application/problem+json', 'Retry-After': '2' }).end(JSON.stringify(body));
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = await fetch(`${weir.origin}/whep/full`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: Buffer.concat(chunks) });
    return reply.writeHead(answer.status, { ...cors, Location: answer.headers.get('location'), 'Content-Type': 'application/sdp' }).end(await answer.text());
  });
  await new Promise((done) => full.listen(0, '127.0.0.1', done));
  after(() => full.close());
  const page = await site('embed-full', component(`src="http://127.0.0.1:${full.address().port}/whep/full" muted autoplay controls`));
  const error = await until('the error', () => last(heard(page, 'weir-error')));
  assert.equal(error.title, 'The server is full');
  assert.deepEqual([error.status, error.problem], [503, 'urn:weir:problem:full']);
  assert.ok(error.retryInMs > 1500 && error.retryInMs <= 3000, `${error.retryInMs} ms`);
  await page.getByText(/Trying again in [12] s/).waitFor();
  await page.shot();
  await until('it gets in', async () => (await last(heard(page, 'weir-state'))).state === 'waiting');
  assert.equal((await heard(page, 'weir-error')).length, 2);
  await page.done();
});
