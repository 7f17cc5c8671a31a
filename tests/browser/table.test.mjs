// Every client with every codec against one server, as publisher and as viewer, held to `docs/clients.md`: a cell that is lost fails, and so does one
// that is won and not told. Four streams, one of each codec, play side by side.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { apart } from './apart.mjs';
import { withClients } from './clients.mjs';
import * as ff from './ffmpeg.mjs';
import { inbound, startRig, until } from './rig.mjs';
import { CODECS, YES, differences, read, readPage, render, writePage } from './table.mjs';
import * as rs from './webrtc-rs.mjs';

const rig = await startRig();
const libdatachannel = apart(new URL('libdatachannel.mjs', import.meta.url));
after(libdatachannel.end);
const { weir } = rig;
const clientsPage = await withClients(rig);

const write = process.env.WEIR_TABLE === 'write';
const told = await readPage();
const seen = { publishes: {}, watches: {} };

const SIZE = { width: 640, height: 360, fps: 20 };
/// What counts as a play: pictures, and packets of sound (20 ms each) beside them.
const PICTURES = 30;
const SOUND = 50;

/// What the client itself refuses; no fault of the server's.
class Lacks extends Error {}

/// In a page: `run(page, how)` is called for each codec.
const inPage = (run) => async () => {
  const page = await clientsPage('table');
  return { start: (codec, how) => run(page, { id: codec, ...how }), page, log: () => page.errors.join('\n'), end: () => page.done() };
};

/// Without a page: `run(codec, stream)` gives what ends it.
const alone = (run) => async () => {
  const running = [];
  return {
    start: async (codec, { stream }) => running.push(await run(codec, stream)),
    log: () => '',
    end: () => Promise.all(running.map((end) => end())),
  };
};

const PUBLISHERS = {
  Chromium: inPage((page, how) => page.evaluate((how) => lab.publish(how), how)),
  'whip-whep': inPage((page, how) => page.evaluate((how) => clients.whipWhep.publish(how), how)),
  '@eyevinn/whip-web-client': inPage((page, how) => page.evaluate((how) => clients.eyevinn.publish(how), how)),
  'FFmpeg 9': alone(async (codec, stream) => {
    const child = ff.publish(weir.whip(stream), { codec, size: `${SIZE.width}x${SIZE.height}`, fps: SIZE.fps, verbose: true });
    await child.said(/SRTP setup done/).catch((error) => {
      throw /whip muxer supports only codec/.test(child.log()) ? new Lacks('not in its muxer') : error;
    });
    return () => child.stop();
  }),
  'webrtc-rs': alone(async (codec, stream) => {
    const clip = { codec: codec.toLowerCase(), width: SIZE.width, height: SIZE.height, kbps: 900 };
    await rs.prepare(clip);
    const child = rs.publish(weir.whip(stream), clip);
    await child.keyframe();
    return () => child.kill('SIGKILL');
  }),
  'node-datachannel': alone(async (codec, stream) => {
    const clip = await ff.clip({ codec, fps: SIZE.fps, seconds: 2 });
    const publisher = await libdatachannel.call('publish', weir.whip(stream), clip);
    return publisher.stop;
  }),
};

const VIEWERS = {
  Chromium: inPage(async (page, how) => {
    await page.evaluate(({ id, watch }) => lab.watch({ id, url: watch }), how);
    await decodes(page, how.id);
  }),
  'whip-whep': inPage(async (page, how) => {
    await page.evaluate(({ id, watch }) => clients.whipWhep.watch({ id, url: watch }), how);
    await decodes(page, how.id);
  }),
  '@eyevinn/webrtc-player': inPage(async (page, how) => {
    await page.evaluate(({ id, watch }) => clients.eyevinn.watch({ id, url: watch }), how);
    await decodes(page, how.id);
  }),
  'FFmpeg 9': alone(async () => {
    const help = await ff.help('demuxer=whep');
    if (/Unknown format/.test(help)) throw new Lacks('no WHEP in it');
    throw new Error('this FFmpeg reads WHEP: play it here');
  }),
  'webrtc-rs': alone(async (codec, stream) => {
    assert.ok(await rs.watch(weir.whep(stream), codec.toLowerCase()) >= PICTURES);
    return () => {};
  }),
  'node-datachannel': alone(async (codec, stream) => {
    const viewer = await libdatachannel.call('watch', weir.whep(stream));
    await until(`pictures of ${codec} and sound`, async () => {
      const seen = await viewer.seen();
      return (seen.pictures[codec] >= PICTURES && seen.audio >= SOUND) || Promise.reject(new Error(JSON.stringify(seen)));
    });
    return viewer.stop;
  }),
};

/// Waits until the viewer of this name in a page has decoded the codec of this name, with sound beside it.
function decodes(page, codec) {
  return until(`${codec} decoded, and sound`, async () => {
    const { video, audio } = (await inbound(page, codec)) ?? {};
    const plays = video?.codec === `video/${codec}` && video.framesDecoded >= PICTURES && audio?.packetsReceived >= SOUND;
    return plays || Promise.reject(new Error(JSON.stringify({ codec: video?.codec, pictures: video?.framesDecoded, sound: audio?.packetsReceived })));
  });
}

/// One row: every codec at once.
async function row(party, play) {
  const cells = await Promise.all(CODECS.map(async (codec) => {
    const cell = await play(codec).then(
      () => ({ text: YES }),
      (error) => (error instanceof Lacks ? { text: error.message } : { text: 'fails', why: `${error.stack}\n${party.log()}` }),
    );
    return [codec, cell];
  }));
  return Object.fromEntries(cells);
}

function hold(role, client, cells) {
  seen[role][client] = cells;
  const failed = Object.entries(cells).filter(([, { text }]) => text === 'fails').map(([codec, { why }]) => `${client} ${codec}: ${why}`);
  const wrong = write ? failed : differences(told[role], { [client]: cells });
  assert.equal(wrong.length, 0, wrong.join('\n'));
}

const streamOf = (client, codec) => `${client}-${codec}`.replace(/[^\w-]/g, '');

/// Chromium's streams go on: the viewers watch them.
let stage;
after(() => stage?.end());

for (const [client, open] of Object.entries(PUBLISHERS)) {
  test(`${client} publishes`, async () => {
    const party = await open();
    const viewer = await rig.lab('table-viewer');
    const cells = await row(party, async (codec) => {
      const stream = streamOf(client, codec);
      await party.start(codec, { stream, codec: `video/${codec}`, ...weir.publish(stream), ...SIZE });
      await viewer.evaluate(({ id, url }) => lab.watch({ id, url }), { id: codec, url: weir.whep(stream) });
      await decodes(viewer, codec);
    });
    await viewer.done();
    if (client === 'Chromium') stage = party;
    else await party.end();
    hold('publishes', client, cells);
  });
}

for (const [client, open] of Object.entries(VIEWERS)) {
  test(`${client} watches`, async () => {
    const party = await open();
    const cells = await row(party, (codec) => {
      const stream = streamOf('Chromium', codec);
      return party.start(codec, { stream, watch: weir.whep(stream) });
    });
    await party.end();
    hold('watches', client, cells);
  });
}

test('docs/clients.md tells of every client that was played, and of no other', async () => {
  console.log(`${render('publishes', seen.publishes)}\n${render('watches', seen.watches)}`);
  if (write) await writePage(seen);
  const page = await readPage();
  for (const role of ['publishes', 'watches']) assert.deepEqual(Object.keys(page[role] ?? {}), Object.keys(seen[role]));
});

test('a cell that is lost and one that is won are differences', () => {
  const page = read('| publishes | H264 | VP8 | VP9 | AV1 |\n| --- | --- | --- | --- | --- |\n| one | yes | yes | not in it | yes |\n').publishes;
  const cells = { H264: { text: YES }, VP8: { text: 'fails', why: 'no pictures' }, VP9: { text: YES }, AV1: { text: YES } };
  assert.deepEqual(differences(page, { one: cells }), [
    'lost: one, VP8: the page says yes, it is fails: no pictures',
    'won: one, VP9: the page says not in it, it is yes',
  ]);
  assert.equal(differences(page, { two: { H264: { text: YES } } }).length, 1);
});
