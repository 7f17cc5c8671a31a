// Chromium in networks as they are: a machine of its own (a network namespace), with cables to the server's, a firewall, a TURN server and a router with NAT
// between them. Nothing in the browser is told of it.

import { cable, here, startSpace } from './spaces.mjs';
import test from 'node:test';
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { startCoturn } from './coturn.mjs';
import { noteRequests, offers, oneSession, requests, restarted } from './requests.mjs';
import { clean, decodes, inbound, shows, startRig, until } from './rig.mjs';
import { chromium } from './sources.mjs';
import { startWeir } from './weir.mjs';

const SERVER = '10.77.0.1';
/// The browser's interfaces: its own address, the one beyond, and which it prefers, least first.
const WAYS = { wifi: ['10.77.1.2', '10.77.1.1', 1], mobile: ['10.77.2.2', '10.77.2.1', 2], lan: ['10.77.3.2', '10.77.3.1', 3] };
const SMALL = { width: 640, height: 360 };
const PUBLISH = 'codec=vp8&width=640&height=360&auto=1';
/// From the moment when there is another network to pictures by it, in ms: well before the server gives up on a publisher that it does not hear (10 s).
const BACK = 8000;

const [away, router] = [await startSpace(), await startSpace()];
await here.ip(`address add ${SERVER}/32 dev lo`);
for (const way of ['wifi', 'mobile']) {
  await cable(here, away, way);
  await here.ip(`address add ${WAYS[way][1]}/24 dev ${way}`, `link set dev ${way} up`);
}
await cable(away, router, 'lan');
await cable(router, here, 'wan');
await router.ip(`address add ${WAYS.lan[1]}/24 dev lan`, 'link set dev lan up');
await here.ip('address add 10.77.4.1/24 dev wan', 'link set dev wan up');

/// The browser's machine joins a network, as when its cable is plugged in, and leaves it.
const join = (way) => {
  const [own, beyond, metric] = WAYS[way];
  return away.ip(`link set dev ${way} up`, `address replace ${own}/24 dev ${way}`, `route replace default via ${beyond} metric ${metric}`);
};
const leave = (way) => away.ip(`link set dev ${way} down`, `address flush dev ${way}`);
/// It is in this one alone.
async function moveTo(way) {
  for (const other of Object.keys(WAYS)) if (other !== way) await leave(other);
  await join(way);
}

await join('wifi');
const rig = await startRig({ weir: { host: '0.0.0.0' } });
const { weir } = rig;
const origin = `http://${SERVER}:${weir.port}`;
/// The browser there. A camera is for pages of HTTPS, or of whom it trusts as much.
const abroad = await startRig({
  server: false, program: (path) => away.wrap(path), args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`],
});

/// Runs in a page before its scripts: when each picture was shown, in ms since 1970.
const notePictures = () => {
  window.pictures = [];
  const begin = () => {
    const video = document.querySelector('video');
    if (!video) return void setTimeout(begin, 20);
    const note = (now) => {
      pictures.push(performance.timeOrigin + now);
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  };
  begin();
};
const init = [noteRequests, notePictures];
const open = (path, name, from = origin) => abroad.open(`${from}${path}`, { name, init });

/// The longest time without a picture that ended after `since`, in ms, once pictures go on.
async function silence(page, since) {
  const seen = () => page.evaluate(() => pictures);
  await until('pictures go on', async () => (await seen()).filter((at) => at > since).length > 30, BACK);
  return Math.round((await seen()).reduce(([longest, last], at) => [at > since ? Math.max(longest, at - last) : longest, at], [0, since])[0]);
}

/// The pair that its media goes by, as the browser has it.
const pair = (page) => page.evaluate(async () => {
  const all = await connections.at(-1).getStats();
  const { selectedCandidatePairId } = [...all.values()].find((r) => r.type === 'transport') ?? {};
  const found = all.get(selectedCandidatePairId);
  return found && { local: all.get(found.localCandidateId), remote: all.get(found.remoteCandidateId) };
});

/// The way of a session's datagrams, as the server has it.
const way = async (session, at = weir) => (await at.api(`sessions/${session}/status`)).transport;
const viewer = async (stream, at = weir) => (await at.api(`streams/${stream}/viewers`))[0].session;

/// A stream from the server's own machine, as long as this test takes.
async function source(t, stream, at = weir) {
  const started = await (await chromium(rig, { codec: 'VP8', ...SMALL })).start(at, stream);
  t.after(() => started.drop());
}

test('where all UDP is dropped Chromium publishes and plays by TCP on the port of HTTP', async () => {
  const dropped = 'meta l4proto udp counter name dropped drop';
  await away.rules(`table inet wall {
    counter dropped { }
    chain out { type filter hook output priority 0
      ${dropped}
    }
    chain in { type filter hook input priority 0
      ${dropped}
    }
  }`);
  const publish = await open(`/publish/walled?${PUBLISH}&token=${weir.token}`, 'spaces-publish');
  await shows(publish, 'live');
  const watch = await open('/watch/walled?via=webrtc', 'spaces-watch');
  await decodes(watch, SMALL);
  const sent = () => publish.evaluate(async () => [...(await connections.at(-1).getStats()).values()].find((r) => r.type === 'outbound-rtp' && r.kind === 'video').framesSent);
  const count = async () => ({ sent: await sent(), shown: (await inbound(watch)).video.framesDecoded });
  const before = await count();
  await new Promise((done) => setTimeout(done, 3000));
  const after = await count();
  const tried = await away.counted('inet wall', 'dropped');
  console.log(`in 3 s ${after.sent - before.sent} pictures sent, ${after.shown - before.shown} shown; ${tried} datagrams of UDP dropped`);
  assert.ok(after.sent - before.sent > 60 && after.shown - before.shown > 60, JSON.stringify({ before, after }));
  assert.ok(tried > 0, 'UDP was tried');
  for (const [page, session] of [[publish, (await weir.stream('walled')).publisher.session], [watch, await viewer('walled')]]) {
    const { local, remote } = await pair(page);
    assert.deepEqual([local.protocol, remote.protocol, remote.port], ['tcp', 'tcp', weir.port]);
    assert.equal((await way(session)).protocol, 'tcp');
  }
  clean(publish, watch);
  await publish.done();
  await watch.done();
  await away.rules('');
});

/// The session of `page` is heard from network `to` after `change`, which takes it away from `from`; `sees` shows its pictures again. Gives how often ICE
/// has been restarted for it.
async function moves({ page, sees, session, from, to, change }) {
  const [before, remote] = [await restarted(page), (await way(session)).remote];
  assert.ok(remote.startsWith(`${WAYS[from][0]}:`), remote);
  const since = Date.now();
  const offline = await change();
  await until('the server hears it from there', async () => (await way(session)).remote.startsWith(`${WAYS[to][0]}:`), BACK);
  const dark = await silence(sees, since);
  const restarts = (await restarted(page)) - before;
  console.log(`from ${from} to ${to}: ${dark} ms without a picture, ${offline} of them without a network; ${restarts} restarts`);
  assert.ok(dark < offline + BACK, `${dark} ms without a picture`);
  return restarts;
}

/// Its media goes by the pair that the newest restart found, in this network.
const isIn = (page, network) => until(`a pair of ${network}, of the restart`, async () => {
  const { local } = await pair(page);
  const newest = await page.evaluate(() => connections.at(-1).currentLocalDescription.sdp.match(/^a=ice-ufrag:(\S+)/m)[1]);
  return local.address === WAYS[network][0] && local.usernameFragment === newest || Promise.reject(new Error(`${JSON.stringify(local)} ${newest}`));
});

/// One network goes, and when the page has noticed, another one comes. How long there was none, in ms.
const after = (page, from, to) => async () => {
  const since = Date.now();
  await leave(from);
  await until('the page is offline', () => page.evaluate(() => !navigator.onLine));
  await join(to);
  return Date.now() - since;
};

/// One goes while the other one is there: no event tells the page, and a browser may find the way without it.
const beside = (from) => async () => {
  await leave(from);
  return 0;
};

test('a viewer whose network goes comes back in another one by ICE restart, in the same session', async (t) => {
  await moveTo('wifi');
  await source(t, 'moving');
  const page = await open('/watch/moving?via=webrtc', 'spaces-moving');
  await decodes(page, SMALL);
  const session = await viewer('moving');
  assert.ok((await moves({ page, sees: page, session, from: 'wifi', to: 'mobile', change: after(page, 'wifi', 'mobile') })) > 0, 'a restart');
  await isIn(page, 'mobile');
  await join('wifi');
  await moves({ page, sees: page, session, from: 'mobile', to: 'wifi', change: beside('mobile') });
  assert.equal(await viewer('moving'), session);
  await oneSession(page, 'whep');
  await shows(page, 'playing');
  await page.done();
});

test('a publisher whose network goes comes back in another one by ICE restart, in the same session', async () => {
  await moveTo('wifi');
  const page = await open(`/publish/roaming?${PUBLISH}&token=${weir.token}`, 'spaces-roaming');
  await shows(page, 'live');
  const watch = await rig.open(`${weir.origin}/watch/roaming?via=webrtc`, { name: 'spaces-viewer', init });
  await decodes(watch, SMALL);
  const { session } = (await weir.stream('roaming')).publisher;
  assert.ok((await moves({ page, sees: watch, session, from: 'wifi', to: 'mobile', change: after(page, 'wifi', 'mobile') })) > 0, 'a restart');
  await isIn(page, 'mobile');
  await join('wifi');
  await moves({ page, sees: watch, session, from: 'mobile', to: 'wifi', change: beside('mobile') });
  assert.equal((await weir.stream('roaming')).publisher.session, session);
  await oneSession(page, 'whip');
  assert.equal(await watch.evaluate(() => connections.length), 1, 'the viewer goes on as it was');
  clean(watch);
  await page.done();
  await watch.done();
});

/// The page by a way that takes no media, such as a company's proxy is.
async function proxy(t, port) {
  const server = createServer((one) => {
    const other = connect(port, '127.0.0.1');
    one.pipe(other).pipe(one);
    for (const [end, far] of [[one, other], [other, one]]) end.on('error', () => far.destroy());
  });
  await new Promise((done) => server.listen(0, SERVER, done));
  t.after(() => server.close());
  return server.address().port;
}

test('where only a TURN server is reached it relays Chromium, by UDP and by TCP', async (t) => {
  await moveTo('wifi');
  const secret = 'of-weir-and-coturn';
  const uri = (transport) => `turn:${SERVER}:3478?transport=${transport}`;
  await startCoturn(t, { address: SERVER, secret });
  const relayed = await startWeir({
    host: '0.0.0.0', env: { WEIR_WEBRTC__ICE_SERVERS: `${uri('udp')}, ${uri('tcp')}`, WEIR_WEBRTC__TURN_SECRET: secret },
  });
  t.after(() => relayed.stop());
  await source(t, 'relayed', relayed);
  const web = await proxy(t, relayed.port);
  for (const transport of ['udp', 'tcp']) {
    await away.rules(`table inet wall {
      counter dropped { }
      chain out { type filter hook output priority 0
        oif lo accept
        ip daddr ${SERVER} tcp dport ${web} accept
        ip daddr ${SERVER} ${transport} dport 3478 accept
        counter name dropped drop
      }
    }`);
    const since = Date.now();
    const page = await open('/watch/relayed?via=webrtc', `spaces-relay-${transport}`, `http://${SERVER}:${web}`);
    await until('a picture', async () => (await inbound(page))?.video?.framesDecoded > 0);
    const first = Date.now() - since;
    await decodes(page, SMALL);
    const { local } = await pair(page);
    console.log(`relayed by ${transport}: first picture ${first} ms after the page was asked for, ${await away.counted('inet wall', 'dropped')} packets dropped`);
    assert.deepEqual([local.candidateType, local.relayProtocol, local.address], ['relay', transport, SERVER]);
    assert.equal((await way(await viewer('relayed', relayed), relayed)).remote, `${SERVER}:${local.port}`);
    assert.equal(await offers(page, 'whep'), 1, 'one POST');
    await page.done();
  }
  await away.rules('');
});

test('a router that gets another address, and maps to other ports, is survived without any request', async (t) => {
  await source(t, 'mapped');
  await router.forwards();
  /// The router goes by this address and these ports; what it had mapped before it forgets, since the address is gone.
  const dials = async (address, ports) => {
    await router.rules(`table ip nat {
      chain out { type nat hook postrouting priority 100
        oifname "wan" meta l4proto { tcp, udp } masquerade to :${ports}
      }
    }`);
    await router.ip('address flush dev wan', `address add ${address}/24 dev wan`, 'link set dev wan up', `route replace ${SERVER} via 10.77.4.1`);
  };
  await dials('10.77.4.2', '20000-29999');
  await moveTo('lan');
  const page = await open('/watch/mapped?via=webrtc', 'spaces-mapped');
  await decodes(page, SMALL);
  const session = await viewer('mapped');
  assert.match((await way(session)).remote, /^10\.77\.4\.2:2\d{4}$/);
  const since = Date.now();
  await dials('10.77.4.3', '30000-39999');
  await until('the server hears it from there', async () => /^10\.77\.4\.3:3\d{4}$/.test((await way(session)).remote), BACK);
  const dark = await silence(page, since);
  console.log(`another address and port: ${dark} ms without a picture`);
  assert.ok(dark < BACK);
  assert.equal(await viewer('mapped'), session);
  assert.equal((await requests(page, 'PATCH')).length, 0, 'no restart');
  assert.equal(await offers(page, 'whep'), 1, 'one POST');
  await page.done();
});
