// Records what Chromium sends, for `weir-bench suite --trace`: `npm run trace` writes target/chromium.trace. Needs the release programs.

import test from 'node:test';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { decodes, inbound, startRig, until } from './rig.mjs';

const TARGET = fileURLToPath(new URL('../../target/', import.meta.url));
const SECONDS = 10;

test('record', async () => {
  const rig = await startRig();
  const { weir } = rig;
  const publisher = await rig.lab('publisher');
  await publisher.evaluate((how) => lab.publish(how), { ...weir.publish('trace'), codec: 'video/H264', width: 1280, height: 720, maxBitrate: 2_500_000 });
  const viewer = await rig.lab('viewer');
  await viewer.evaluate((url) => lab.watch({ url }), weir.whep('trace'));
  // Its bandwidth estimate climbs for some seconds.
  await decodes(viewer, { codec: 'video/H264', width: 1280, height: 720 });
  await until('15 s have been decoded', async () => (await inbound(viewer)).video.framesDecoded > 450, 30000);
  const out = `${TARGET}chromium.trace`;
  execFileSync(`${TARGET}release/weir-bench`, ['record', '--url', weir.whep('trace'), '--seconds', SECONDS, '--out', out], { stdio: 'inherit' });
});
