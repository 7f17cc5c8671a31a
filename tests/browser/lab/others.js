// Other people's clients, each used as a web developer would: bundled by `../clients.mjs`, in a lab page `window.clients`. Those that publish are
// in `lab.publishers`, those that watch in `lab.viewers`, so that `lab.stats` knows them.

import { WHIPClient as WhipWhepPublisher } from 'whip-whep/whip.js';
import { WHEPClient as WhipWhepViewer } from 'whip-whep/whep.js';
import { WHIPClient as EyevinnPublisher } from '@eyevinn/whip-web-client';
import { WebRTCPlayer as EyevinnPlayer } from '@eyevinn/webrtc-player';

const { lab } = window;

/// Sound and pictures; none of these clients knows of codecs, so what is to be sent is asked of the browser.
function show({ width = 640, height = 360, fps = 30, codec }) {
  const parts = [lab.tones({ left: 440, right: 880 }), lab.picture({ width, height, fps })];
  const prefer = (pc) => codec && lab.prefer(pc.getTransceivers().find((t) => t.sender.track?.kind === 'video'), 'video', codec);
  return { parts, tracks: parts.map((part) => part.track), prefer };
}

const screen = (more) => {
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true, ...more });
  document.body.append(video);
  return video;
};

export const whipWhep = {
  async publish({ id = 'p', url, token, ...how }) {
    const { parts, tracks, prefer } = show(how);
    const pc = new RTCPeerConnection();
    for (const track of tracks) pc.addTransceiver(track, { direction: 'sendonly' });
    prefer(pc);
    const client = new WhipWhepPublisher();
    lab.publishers[id] = { pc, parts, end: () => client.stop() };
    await client.publish(pc, url, token);
  },
  async watch({ id = 'v', url }) {
    const pc = new RTCPeerConnection();
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    const video = screen({ srcObject: new MediaStream() });
    pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
    const client = new WhipWhepViewer();
    lab.viewers[id] = { pc, end: () => client.stop() };
    await client.view(pc, url);
  },
};

export const eyevinn = {
  async publish({ id = 'p', url, token, ...how }) {
    const { parts, tracks, prefer } = show(how);
    // It makes its transceivers itself, and offers at once.
    const peerConnectionFactory = (config) => {
      const pc = new RTCPeerConnection(config);
      const createOffer = pc.createOffer.bind(pc);
      pc.createOffer = (options) => {
        prefer(pc);
        return createOffer(options);
      };
      lab.publishers[id] = { pc, parts, end: () => client.destroy() };
      return pc;
    };
    const client = new EyevinnPublisher({ endpoint: url, opts: { iceServers: [], authkey: token }, peerConnectionFactory });
    await client.ingest(new MediaStream(tracks));
  },
  async watch({ id = 'v', url }) {
    const player = new EyevinnPlayer({ video: screen(), type: 'whep', iceServers: [] });
    await player.load(new URL(url));
    lab.viewers[id] = { pc: player.peer, end: () => player.unload() };
  },
};

/// Ends what `publish` or `watch` began, as that client does.
export async function leave(id) {
  const me = lab.publishers[id] ?? lab.viewers[id];
  await me.end();
  me.parts?.forEach((part) => part.stop());
}
