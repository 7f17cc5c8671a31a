// A crowd of viewers that all join within a second, each with ICE and DTLS of its own, in a process of its own:
//   node crowd.mjs <WHEP URL> <how many> <within ms> <seconds to stay>
// Prints one line of JSON. The stack is libdatachannel; nothing is decoded.

import { fileURLToPath } from 'node:url';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import nodeDataChannel from 'node-datachannel';

const { PeerConnection, Video, Audio } = nodeDataChannel;

/// Runs a crowd and gives what it printed: `{ viewers, connected, playing, packets, join }`, `join` in ms from POST to the first video packet.
export async function crowd(url, { viewers = 50, within = 1000, seconds = 4 } = {}) {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), url, viewers, within, seconds].map(String));
  return JSON.parse(stdout);
}

async function viewer(url) {
  const pc = new PeerConnection('viewer', { iceServers: [], disableAutoNegotiation: true });
  const audio = new Audio('0', 'RecvOnly');
  audio.addOpusCodec(111);
  const video = new Video('1', 'RecvOnly');
  video.addH264Codec(96);
  const me = { pc, posted: 0, packets: 0, first: null, state: null };
  me.tracks = [pc.addTrack(audio), pc.addTrack(video)];
  me.tracks[1].onMessage(() => {
    me.first ??= performance.now() - me.posted;
    me.packets++;
  });
  pc.onStateChange((state) => { me.state = state; });
  const offer = await new Promise((done) => {
    pc.onGatheringStateChange((state) => state === 'complete' && done(pc.localDescription().sdp));
    pc.setLocalDescription('offer');
  });
  return Object.assign(me, {
    async join() {
      me.posted = performance.now();
      const reply = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
      const answer = await reply.text();
      if (reply.status !== 201) throw new Error(`${reply.status} ${answer}`);
      me.resource = new URL(reply.headers.get('location'), url);
      pc.setRemoteDescription(answer, 'answer');
    },
  });
}

async function main([url, viewers, within, seconds]) {
  const all = await Promise.all(Array.from({ length: Number(viewers) }, () => viewer(url)));
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  await Promise.all(all.map(async (one, i) => {
    await sleep((i * within) / viewers);
    await one.join();
  }));
  await sleep(seconds * 1000);
  const join = all.map((one) => one.first).filter((ms) => ms !== null).sort((a, b) => a - b);
  const result = {
    viewers: all.length,
    connected: all.filter((one) => one.state === 'connected').length,
    playing: join.length,
    packets: all.reduce((sum, one) => sum + one.packets, 0),
    join: { p50: Math.round(join[join.length >> 1]), max: Math.round(join.at(-1)) },
  };
  await Promise.all(all.map((one) => fetch(one.resource, { method: 'DELETE' })));
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
