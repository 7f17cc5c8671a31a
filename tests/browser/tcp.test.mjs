// A network that lets no UDP through: Chromium watches by WebRTC over TCP, on the port of the page itself.

import test from 'node:test';
import assert from 'node:assert/strict';
import { clean, decodes, inbound, startRig, until } from './rig.mjs';
import { blockUdp } from './audience.mjs';
import { chromium } from './sources.mjs';

const rig = await startRig();
const { weir } = rig;
const SMALL = { width: 640, height: 360 };

/// In the page: candidates by UDP lead nowhere, as behind a firewall.
const noUdp = () => {
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return real.call(this, { type, sdp: sdp.replace(/^(a=candidate:\S+ \d udp \d+ \S+) \d+/gmi, '$1 9') });
  };
};

/// The pair that media comes by, and how many of each kind there are.
const pairs = (page) => page.evaluate(async () => {
  const all = await window.connections.at(-1).getStats();
  const by = (pair) => all.get(pair.remoteCandidateId)?.protocol;
  const pairs = [...all.values()].filter((r) => r.type === 'candidate-pair');
  const chosen = [...all.values()].find((r) => r.type === 'transport')?.selectedCandidatePairId;
  return { chosen: chosen && by(all.get(chosen)), tcp: pairs.filter((pair) => by(pair) === 'tcp').length, all: pairs.length };
});

const source = await (await chromium(rig, { codec: 'VP8', ...SMALL })).start(weir, 'tcp');
test.after(() => source.drop());

test('without UDP Chromium plays over TCP, and goes on without a freeze', async () => {
  const from = Date.now();
  const page = await rig.open(`${weir.origin}/watch/tcp?via=webrtc`, { name: 'tcp', init: [noUdp] });
  await until('a picture', async () => (await inbound(page))?.video?.framesDecoded > 0);
  const first = Date.now() - from;
  await decodes(page, SMALL);
  const before = (await inbound(page)).video;
  await new Promise((done) => setTimeout(done, 10000));
  const after = (await inbound(page)).video;
  const { chosen, tcp, all } = await pairs(page);
  console.log(`first picture ${first} ms after the page was asked for; ${tcp} of ${all} pairs are TCP, ${after.freezeCount} freezes`);
  assert.equal(chosen, 'tcp');
  assert.ok(first < 5000, `${first} ms to the first picture`);
  assert.equal(after.freezeCount, before.freezeCount, 'no freeze in ten seconds');
  assert.ok(after.framesDecoded - before.framesDecoded > 250, `${after.framesDecoded - before.framesDecoded} pictures in ten seconds`);
  await page.shot('tcp');
  clean(page);
  await page.done();
});

test('with UDP Chromium stays with it', async () => {
  const page = await rig.open(`${weir.origin}/watch/tcp?via=webrtc`, { name: 'udp' });
  await decodes(page, SMALL);
  await new Promise((done) => setTimeout(done, 3000));
  const { chosen, tcp, all } = await pairs(page);
  console.log(`${tcp} of ${all} pairs are TCP`);
  assert.equal(chosen, 'udp');
  await page.done();
});

test('with neither the pages say what was tried, and what happens next', async () => {
  for (const [what, path] of [['watch', '/watch/tcp?via=webrtc'], ['publish', '/publish/nowhere?codec=vp8&auto=1']]) {
    const page = await rig.open(`${weir.origin}${path}`, { name: `no-path-${what}`, init: [blockUdp] });
    // By locators, which look into the player's shadow tree.
    for (const words of ['No UDP or TCP path to the server', /Tried: UDP port \d+ of \S+; TCP port \d+ of \S+/, 'Try now']) {
      await page.getByText(words).first().waitFor({ timeout: 30000 });
    }
    await page.shot(`no-path-${what}`);
    await page.done();
  }
});
