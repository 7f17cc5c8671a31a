// A WHIP publisher on libdatachannel, the stack inside OBS, wired as OBS wires it: H.264 with several slices and
// parameter sets in packets of their own, sender reports and a NACK responder, no transport-cc, no RTX, no trickle.

import nodeDataChannel from 'node-datachannel';

const { PeerConnection, Video, Audio, RtpPacketizationConfig, H264RtpPacketizer, RtpPacketizer, RtcpSrReporter, RtcpNackResponder } = nodeDataChannel;

const VIDEO = { payload: 96, ssrc: 0x10000001, clock: 90000 };
const AUDIO = { payload: 111, ssrc: 0x20000002, clock: 48000 };

/// Publishes `clip` (of ffmpeg.mjs) in a loop until `stop`.
export async function publish(url, clip) {
  const pc = new PeerConnection('publisher', { iceServers: [], disableAutoNegotiation: true });
  const audio = new Audio('0', 'SendOnly');
  audio.addOpusCodec(AUDIO.payload);
  audio.addSSRC(AUDIO.ssrc, 'weir', 'weir', 'weir-audio');
  const video = new Video('1', 'SendOnly');
  video.addH264Codec(VIDEO.payload);
  video.addSSRC(VIDEO.ssrc, 'weir', 'weir', 'weir-video');
  const sound = sender(pc.addTrack(audio), AUDIO, (config) => new RtpPacketizer(config));
  const picture = sender(pc.addTrack(video), VIDEO, (config) => new H264RtpPacketizer('StartSequence', config));
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
  if (reply.status !== 201) throw new Error(`WHIP: ${reply.status} ${answer}\n${offer}`);
  const resource = new URL(reply.headers.get('location'), url);
  pc.setRemoteDescription(answer, 'answer');
  await connected;
  const started = performance.now();
  const sent = { video: 0, audio: 0 };
  const timer = setInterval(() => {
    const seconds = (performance.now() - started) / 1000;
    for (; sent.video < seconds * clip.fps; sent.video++) picture(clip.video[sent.video % clip.video.length], sent.video / clip.fps);
    for (; sent.audio < seconds * 50; sent.audio++) sound(clip.audio[sent.audio % clip.audio.length], sent.audio / 50);
  }, 5);
  return {
    offer,
    answer,
    sent,
    async stop() {
      clearInterval(timer);
      const status = (await fetch(resource, { method: 'DELETE' })).status;
      pc.close();
      return status;
    },
  };
}

/// Ends the library's own threads, which otherwise may keep the process from ending.
export const cleanup = () => nodeDataChannel.cleanup();

/// Sends one frame at a time, stamped with its second.
function sender(track, { payload, ssrc, clock }, packetizer) {
  const config = new RtpPacketizationConfig(ssrc, 'weir', payload, clock);
  const chain = packetizer(config);
  chain.addToChain(new RtcpSrReporter(config));
  chain.addToChain(new RtcpNackResponder());
  track.setMediaHandler(chain);
  return (frame, seconds) => {
    config.timestamp = Math.round(seconds * clock) % 2 ** 32;
    if (track.isOpen()) track.sendMessageBinary(frame);
  };
}
