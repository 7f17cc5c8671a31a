// /admin: what is live as tiles, one stream in detail, one session at the side, and the power to disconnect.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;
const SIZES = { desk: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };


const fits = async (page) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${page.url()} is ${wide} px wider than the screen`);
};

/// The API of a server that keeps everything, made up: the shapes of history and sessions, with one viewer in trouble.
async function pretend(page) {
  const now = Date.now();
  const samples = Array.from({ length: 150 }, (_, i) => ({
    at: new Date(now - (149 - i) * 2000).toISOString(), publisher_bitrate_bps: i < 100 ? 2e6 : 1e6, publisher_lost: i % 50 === 0 ? 7 : 0, viewers: 3,
    viewers_bitrate_bps: 5e6, viewers_loss: i === 149 ? null : 0.01, viewers_rtt_ms: 42, layers: { f: 2, h: 1 },
  }));
  const session = { session: 'feed0001', stream: 'admin', role: 'viewer', protocol: 'whep', since: new Date(now - 65000).toISOString(), address: '198.51.100.7:5000', user_agent: 'Somebody/1', state: 'playing' };
  const viewers = Array.from({ length: 230 }, (_, i) => ({ ...session, session: `feed${String(i).padStart(4, '0')}`, layer: 'f', wanted_layer: null, bitrate_bps: 1e6 + i, loss: i / 1000, rtt_ms: i, problem: i === 77 ? 'Nothing reaches it by UDP.' : null }));
  const answers = {
    'streams/admin/history': { interval_ms: 2000, samples },
    'streams/admin/viewers': viewers,
    'sessions/feed0077/status': { ...session, session: 'feed0077', rtt_ms: 42, transport: { local: '192.0.2.1:8080', remote: '198.51.100.7:5000', srtp: 'AES-128-GCM' } },
    'sessions/feed0077/health': { ok: false, problems: [{ code: 'no_pair', text: 'Nothing reaches it by UDP. Open port 8080.' }] },
    'sessions/feed0077/logs': { entries: [{ at: new Date(now - 5000).toISOString(), code: 'created', text: 'The session was made.' }, { at: new Date(now).toISOString(), code: 'pli', text: 'It asked for a keyframe.' }] },
  };
  const deleted = [];
  await page.route('**/api/v1/**', (route) => {
    const path = new URL(route.request().url()).pathname.slice('/api/v1/'.length);
    if (route.request().method() === 'DELETE' && path.startsWith('sessions/')) return deleted.push(path), route.fulfill({ status: 204 });
    return path in answers ? route.fulfill({ json: answers[path] }) : route.fallback();
  });
  return deleted;
}

test('tiles, a stream with its viewers, kick the publisher', async () => {
  const publish = await rig.open(`${weir.origin}/publish/admin?codec=vp8&simulcast=1&auto=1`, { name: 'admin-publish' });
  await shows(publish, 'live');
  const watching = [await rig.open(`${weir.origin}/watch/admin`, {}), await rig.open(`${weir.origin}/embed/admin`, {})];
  for (const page of watching) await decodes(page, {});
  const page = await rig.open(`${weir.origin}/admin`, { name: 'admin-desk-dark' });
  const tile = page.locator('.tile', { hasText: 'admin' });
  await tile.getByText('2 viewers').waitFor();
  await tile.getByText(/VP8 · \d+×\d+ · \d+ fps · \d layers/).waitFor();
  await page.shot('admin-tiles-desk-dark');
  await tile.getByRole('link').click();
  await until('the address can be linked', () => page.url().endsWith('/admin#/admin'));
  await page.locator('#viewers-title', { hasText: '2 viewers' }).waitFor();
  const ids = (await weir.api('streams/admin/viewers')).map((viewer) => viewer.session);
  for (const id of ids) await page.getByRole('link', { name: id }).waitFor();
  await until('the charts show what comes in', async () => /[1-9].*b\/s/.test(await page.locator('.chart').first().innerText()));
  await page.shot('admin-stream-desk-dark');
  await page.getByRole('link', { name: ids[0] }).click();
  await page.getByRole('heading', { name: `Viewer ${ids[0]}` }).waitFor();
  await page.shot('admin-session-desk-dark');
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  const before = await watching[0].evaluate(() => window.connections.length) + await watching[1].evaluate(() => window.connections.length);
  await page.getByRole('dialog', { name: 'Disconnect' }).getByRole('button', { name: 'Disconnect' }).click();
  await until('one viewer had to come back', async () => {
    const now = await watching[0].evaluate(() => window.connections.length) + await watching[1].evaluate(() => window.connections.length);
    return now > before;
  });
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Disconnect publisher' }).click();
  const question = page.getByRole('dialog', { name: 'Disconnect the publisher of admin?' });
  await page.shot('admin-confirm-desk-dark');
  await question.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await weir.stream('admin')).state, 'live');
  await page.getByRole('button', { name: 'Disconnect publisher' }).click();
  await question.getByRole('button', { name: 'Disconnect' }).click();
  await shows(publish, 'failed');
  await until('nobody publishes', async () => (await weir.stream('admin')).publisher === null);
  await until('the page says so', async () => /Nobody publishes/.test(await page.innerText('#publisher')));
  clean(page);
  await page.done();
  for (const each of [...watching, publish]) await each.done();
});

test('charts, a table of many and a session with a problem', async () => {
  const publish = await rig.open(`${weir.origin}/publish/admin?codec=vp8&simulcast=1&auto=1`, {});
  await shows(publish, 'live');
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['dark', 'light']) {
      const page = await rig.open('about:blank', { viewport, colorScheme });
      const deleted = await pretend(page);
      await page.goto(`${weir.origin}/admin`);
      await page.locator('.tile').first().waitFor();
      await fits(page);
      await page.shot(`look-admin-${size}-${colorScheme}`);
      await page.goto(`${weir.origin}/admin#/admin`);
      await page.getByText('230 viewers').waitFor();
      await fits(page);
      const chart = page.locator('.chart').first();
      await until('the newest value stands there', async () => /1\.0 Mb\/s/.test(await chart.innerText()));
      const box = await chart.locator('.plot').boundingBox();
      await page.mouse.move(box.x + box.width * 0.3, box.y + 30);
      await until('the value under the pointer stands there', async () => /2\.0 Mb\/s/.test(await chart.locator('.chart-values').innerText()));
      await page.shot(`look-admin-stream-${size}-${colorScheme}`);
      assert.equal(await page.locator('.viewers-table tbody tr').count(), 200);
      await page.getByText('and 30 more').waitFor();
      assert.match(await page.locator('.viewers-table tbody tr').first().innerText(), /feed0077/);
      await page.getByRole('button', { name: 'Loss' }).click();
      assert.match(await page.locator('.viewers-table tbody tr').first().innerText(), /feed0229/);
      await page.locator('#viewers').scrollIntoViewIfNeeded();
      await page.shot(`look-admin-viewers-${size}-${colorScheme}`);
      await page.goto(`${weir.origin}/admin#/admin/feed0077`);
      const drawer = page.getByRole('dialog');
      await drawer.getByText('Open port 8080').waitFor();
      await drawer.getByText('It asked for a keyframe.').waitFor();
      await page.shot(`look-admin-session-${size}-${colorScheme}`);
      await drawer.getByRole('button', { name: 'Disconnect' }).click();
      await page.getByRole('dialog', { name: 'Disconnect feed0077?' }).getByRole('button', { name: 'Disconnect' }).click();
      await until('it was asked of the server', () => deleted.includes('sessions/feed0077'));
      await page.keyboard.press('Escape');
      await until('the side is closed and the address says so', () => page.url().endsWith('#/admin'));
      clean(page);
      await page.done();
    }
  }
  await publish.done();
});

test('without a token from elsewhere: it asks for one, and keeps it for the tab', async () => {
  const page = await rig.open('about:blank', {});
  let given;
  await page.route('**/api/v1/**', (route) => {
    given = route.request().headers()['authorization'];
    if (given === 'Bearer right') return route.fallback({ headers: { ...route.request().headers(), authorization: '' } });
    return route.fulfill({ status: given ? 403 : 401, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Denied', status: given ? 403 : 401, detail: 'x' }) });
  });
  await page.goto(`${weir.origin}/admin`);
  await page.getByText('This page needs a token').waitFor();
  await page.getByLabel('Access token').fill('wrong');
  await page.getByRole('button', { name: 'Show the streams' }).click();
  await page.getByText('was not accepted').waitFor();
  await page.shot('admin-token');
  await page.getByLabel('Access token').fill('right');
  await page.getByRole('button', { name: 'Show the streams' }).click();
  await page.locator('#summary', { hasText: 'streams in' }).waitFor();
  await page.reload();
  await page.locator('#summary', { hasText: 'streams in' }).waitFor();
  assert.equal(given, 'Bearer right');
  await page.done();
});
