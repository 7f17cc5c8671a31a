// HTTPS as a browser speaks it, HTTP/2 by ALPN: on a name of its own, where it gives a page camera and microphone only by HTTPS.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clean, decodes, shows, startRig, until } from './rig.mjs';

const NAME = 'weir.test';
const folder = mkdtempSync(join(tmpdir(), 'weir-https-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
  '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME},IP:127.0.0.1`, '-keyout', key, '-out', cert], { stdio: 'pipe' });
// Chromium trusts this one key; Node's own requests to the API take any.
const spki = new X509Certificate(readFileSync(cert)).publicKey.export({ type: 'spki', format: 'der' });
const pin = createHash('sha256').update(spki).digest('base64');
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const rig = await startRig({
  weir: { env: { WEIR_TLS__CERT: cert, WEIR_TLS__KEY: key } },
  args: [`--ignore-certificate-errors-spki-list=${pin}`, `--host-resolver-rules=MAP ${NAME} 127.0.0.1`],
});
const { weir } = rig;
const { token } = weir.publish('any');
const at = (path) => `https://${NAME}:${weir.port}${path}`;

/// By which protocols a page has loaded what has this in its URL.
const protocols = (page, part) => page.evaluate((part) => [...new Set([...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((entry) => entry.name.includes(part)).map((entry) => entry.nextHopProtocol))], part);

test('camera and microphone, WHIP and WHEP on a name that is not localhost', async () => {
  // Whoever writes http:// is sent to https://, and comes out where pages may have a camera.
  const publish = await rig.open(`http://${NAME}:${weir.port}/publish/secure?codec=h264&auto=1&token=${token}`, { name: 'https-publish' });
  await shows(publish, 'live');
  assert.equal(await publish.evaluate(() => location.protocol), 'https:');
  assert.equal(await publish.evaluate(() => isSecureContext), true);
  const watch = await rig.open(at(`/watch/secure?token=${token}`), { name: 'https-watch' });
  await shows(watch, 'playing');
  await decodes(watch, { codec: 'video/H264' });
  assert.deepEqual(await protocols(watch, '/'), ['h2']);
  assert.deepEqual(await protocols(publish, '/whip/'), ['h2']);

  const hls = await rig.open(at(`/watch/secure?via=hls&token=${token}`), { name: 'https-hls' });
  await shows(hls, 'playing');
  await until('pictures by HLS', () => hls.evaluate(() => document.querySelector('weir-player')?.shadowRoot?.querySelector('video')?.currentTime > 2
    || document.querySelector('video')?.currentTime > 2));
  assert.deepEqual(await protocols(hls, '/live/'), ['h2']);
  clean(publish, watch, hls);
  for (const page of [hls, watch, publish]) await page.done();
});
