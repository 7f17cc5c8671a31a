// ICE restart by Weir's own pages in Chromium: the path goes, another one comes, and it is the same session: one POST, one peer
// connection, and PATCH (RFC 9725 section 4.3.3). The path is a relay (`link.mjs`) whose port the answer is made to name.

import test from 'node:test';
import assert from 'node:assert/strict';
import { startLink } from './link.mjs';
import { noteRequests, offers, oneSession, requests, restarted } from './requests.mjs';
import { clean, decodes, inbound, shows, startRig, until } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;
/// From the first sign that nothing comes to media by the other path, in ms: Chromium says "disconnected" some 2.5 s after the last answer.
const BACK = 10000;

const mediaPort = async () => {
  const { listeners } = await weir.api('server');
  return Number(listeners.find((l) => l.transport === 'udp').address.split(':').at(-1));
};

/// Runs in the page before its scripts: answers name `window.throughPort`.
const through = (port) => {
  window.throughPort = port;
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return real.call(this, { type, sdp: sdp?.replace(/^(a=candidate:\S+ \d \S+ \d+ \S+) \d+/gm, `$1 ${window.throughPort}`) });
  };
};

/// Opens a page of ours behind a relay of its own.
async function behind(path, name) {
  const link = await startLink({ target: await mediaPort(), rate: 1e8, queue: 1e6, delay: 1 });
  const page = await rig.open(`${weir.origin}${path}`, { name, init: [noteRequests, `(${through})(${link.port})`] });
  return { page, link };
}

/// Its relay is cut, and the next answer names another one.
async function moves(page, link) {
  const other = await startLink({ target: await mediaPort(), rate: 1e8, queue: 1e6, delay: 1 });
  await page.evaluate((port) => { window.throughPort = port; }, other.port);
  link.cut(true);
  return other;
}

const framesGoOn = async (page, from) => until('pictures go on', async () => {
  const now = await inbound(page);
  return (now?.video?.framesDecoded ?? 0) > from + 15 && now.video.framesDecoded;
}, BACK);

test('a viewer whose path goes comes back by another one, in the same session', async () => {
  const publish = await rig.open(`${weir.origin}/publish/moving?codec=vp8&width=640&height=360&auto=1`, { name: 'restart-publish' });
  await shows(publish, 'live');
  let { page, link } = await behind('/watch/moving', 'restart-watch');
  await decodes(page, {});
  for (let round = 0; round < 2; round++) {
    const before = (await inbound(page)).video.framesDecoded;
    const gone = link;
    link = await moves(page, gone);
    await framesGoOn(page, before);
    await gone.stop();
  }
  await oneSession(page, 'whep');
  assert.equal((await weir.api('streams/moving')).viewers.whep, 1);
  await shows(page, 'playing');
  // By hand, with a path that works: nothing is lost.
  const before = await restarted(page);
  await until('another restart', async () => {
    // One that fails on a busy machine is not tried again while the path works.
    await page.evaluate(() => dispatchEvent(new Event('online')));
    return (await restarted(page)) > before;
  }, BACK);
  await framesGoOn(page, (await inbound(page)).video.framesDecoded);
  await oneSession(page, 'whep');
  clean(page, publish);
  await page.done();
  await publish.done();
  await link.stop();
});

test('a publisher whose path goes comes back by another one, in the same session', async () => {
  let { page, link } = await behind('/publish/roaming?codec=vp8&width=640&height=360&auto=1', 'restart-publisher');
  await shows(page, 'live');
  const watch = await rig.open(`${weir.origin}/watch/roaming`, { name: 'restart-viewer' });
  await decodes(watch, {});
  const before = (await inbound(watch)).video.framesDecoded;
  const gone = link;
  link = await moves(page, gone);
  // What was on its way when the relay was cut is no proof.
  await until('interrupted', async () => (await weir.api('streams/roaming')).state === 'interrupted');
  await framesGoOn(watch, Math.max(before, (await inbound(watch)).video.framesDecoded));
  await until('live again', async () => (await weir.api('streams/roaming')).state === 'live');
  await oneSession(page, 'whip');
  assert.equal(await watch.evaluate(() => connections.length), 1, 'the viewer has not noticed');
  clean(page, watch);
  await watch.done();
  await page.done();
  await link.stop();
  await gone.stop();
});

test('a NAT that gives another port is survived without any request', async () => {
  const publish = await rig.open(`${weir.origin}/publish/nat?codec=vp8&width=640&height=360&auto=1`, { name: 'nat-publish' });
  const { page, link } = await behind('/watch/nat', 'nat-watch');
  await decodes(page, {});
  for (let round = 0; round < 2; round++) {
    const before = (await inbound(page)).video.framesDecoded;
    link.rebind();
    await framesGoOn(page, before);
  }
  assert.equal((await requests(page, 'PATCH')).length, 0, 'no restart');
  assert.equal(await offers(page, 'whep'), 1);
  clean(page, publish);
  await page.done();
  await publish.done();
  await link.stop();
});
