// WHIP and WHEP on libdatachannel, the stack inside OBS. A publisher is wired as OBS wires it: H.264 with several slices and parameter sets in
// packets of their own, sender reports and a NACK responder, no transport-cc, no RTX, no trickle. Its threads may keep a process from ending:
// to be used by way of `apart.mjs`.

import nodeDataChannel from 'node-datachannel';
import { counter, packetizer } from './rtp.mjs';

const {
  PeerConnection, Video, Audio, RtpPacketizationConfig, RtpPacketizer, H264RtpPacketizer, AV1RtpPacketizer,
  RtcpSrReporter, RtcpNackResponder, RtcpReceivingSession,
} = nodeDataChannel;

const VIDEO = { ssrc: 0x10000001, clock: 90000 };
const AUDIO = { payload: 111, ssrc: 0x20000002, clock: 48000 };

/// `chain` packetizes; the library has nothing for VP8 and VP9, and sends the packets it is given.
const CODECS = {
  H264: { payload: 96, offer: (video, payload) => video.addH264Codec(payload), chain: (config) => new H264RtpPacketizer('StartSequence', config) },
  VP8: { payload: 97, offer: (video, payload) => video.addVP8Codec(payload) },
  VP9: { payload: 98, offer: (video, payload) => video.addVP9Codec(payload) },
  AV1: { payload: 45, offer: (video, payload) => video.addAV1Codec(payload), chain: (config) => new AV1RtpPacketizer('TemporalUnit', config) },
};

/// Publishes `clip` (of ffmpeg.mjs) in a loop until `stop`.
export async function publish(url, clip) {
  const pc = new PeerConnection('publisher', { iceServers: [], disableAutoNegotiation: true });
  const audio = new Audio('0', 'SendOnly');
  audio.addOpusCodec(AUDIO.payload);
  audio.addSSRC(AUDIO.ssrc, 'weir', 'weir', 'weir-audio');
  const video = new Video('1', 'SendOnly');
  const { payload, offer, chain } = CODECS[clip.codec];
  offer(video, payload);
  video.addSSRC(VIDEO.ssrc, 'weir', 'weir', 'weir-video');
  const sound = sender(pc.addTrack(audio), AUDIO, (config) => new RtpPacketizer(config));
  const picture = sender(pc.addTrack(video), { ...VIDEO, payload }, chain, clip.codec);
  const session = await exchange(pc, url);
  const started = performance.now();
  const sent = { video: 0, audio: 0 };
  const timer = setInterval(() => {
    const seconds = (performance.now() - started) / 1000;
    for (; sent.video < seconds * clip.fps; sent.video++) picture(clip.video[sent.video % clip.video.length], sent.video / clip.fps);
    for (; sent.audio < seconds * 50; sent.audio++) sound(clip.audio[sent.audio % clip.audio.length], sent.audio / 50);
  }, 5);
  return {
    ...session,
    sent,
    async stop() {
      clearInterval(timer);
      return session.leave();
    },
  };
}

/// Watches until `stop`, with every codec offered; `seen()` counts the packets of sound, and the pictures of each codec of which everything came.
export async function watch(url) {
  const pc = new PeerConnection('viewer', { iceServers: [], disableAutoNegotiation: true });
  const audio = new Audio('0', 'RecvOnly');
  audio.addOpusCodec(AUDIO.payload);
  const video = new Video('1', 'RecvOnly');
  for (const { payload, offer } of Object.values(CODECS)) offer(video, payload);
  const [sound, picture] = [audio, video].map((kind) => {
    const track = pc.addTrack(kind);
    const { seen, hear } = counter();
    track.setMediaHandler(new RtcpReceivingSession());
    track.onMessage(hear);
    return { track, seen };
  });
  const session = await exchange(pc, url);
  return {
    ...session,
    seen: () => ({
      audio: sound.seen.packets[AUDIO.payload] ?? 0,
      pictures: Object.fromEntries(Object.entries(CODECS).map(([codec, { payload }]) => [codec, picture.seen.pictures[payload] ?? 0])),
    }),
    stop: session.leave,
  };
}

/// Offers and takes the answer, and waits for the connection.
async function exchange(pc, url) {
  const connected = new Promise((done, fail) => pc.onStateChange((state) => {
    if (state === 'connected') done();
    if (state === 'failed' || state === 'closed') fail(new Error(`libdatachannel: ${state}`));
  }));
  connected.catch(() => {}); // Closing at the end is no failure; a failure before is awaited below.
  const offer = await new Promise((done) => {
    pc.onGatheringStateChange((state) => state === 'complete' && done(pc.localDescription().sdp));
    pc.setLocalDescription('offer');
  });
  const reply = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
  const answer = await reply.text();
  if (reply.status !== 201) throw new Error(`POST: ${reply.status} ${answer}\n${offer}`);
  const resource = new URL(reply.headers.get('location'), url);
  pc.setRemoteDescription(answer, 'answer');
  await connected;
  return {
    offer,
    answer,
    async leave() {
      const { status } = await fetch(resource, { method: 'DELETE' });
      pc.close();
      return status;
    },
  };
}

/// Sends one frame at a time, stamped with its second.
function sender(track, { payload, ssrc, clock }, packetize, codec) {
  const config = new RtpPacketizationConfig(ssrc, 'weir', payload, clock);
  const chain = [packetize?.(config), new RtcpSrReporter(config), new RtcpNackResponder()].filter(Boolean);
  for (const next of chain.slice(1)) chain[0].addToChain(next);
  track.setMediaHandler(chain[0]);
  const own = packetize ? null : packetizer(codec, { payload, ssrc });
  return (frame, seconds) => {
    config.timestamp = Math.round(seconds * clock) % 2 ** 32;
    if (!track.isOpen()) return;
    for (const message of own ? own(frame, config.timestamp) : [frame]) track.sendMessageBinary(message);
  };
}
