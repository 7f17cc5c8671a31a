// A WHIP publisher and a WHEP viewer of the tests' own, running in the browser under test.
// Nothing here is shared with Weir's pages, so that an error in those cannot hide one in the server.
// Everything hangs on `window.lab`; the node side calls it through `page.evaluate`.

const publishers = {};
const viewers = {};

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, test, ms = 20000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await wait(20);
  }
}

/// A moving picture with the clock burned in. `hue` tells publishers apart. With `beat` a corner flashes three times in two seconds, and `beat` is
/// called each time.
function picture({ width, height, fps = 30, hue = 200, beat }) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  document.body.append(canvas);
  const c = canvas.getContext('2d', { alpha: false });
  const track = canvas.captureStream(0).getVideoTracks()[0];
  let n = 0;
  const draw = () => {
    c.fillStyle = `hsl(${hue} 60% 40%)`;
    c.fillRect(0, 0, width, height);
    for (let i = 0; i < 6; i++) {
      c.fillStyle = `hsl(${hue + 40 * i} 80% 60%)`;
      const r = height / 8;
      c.fillRect((n * (2 + i) + (i * width) / 6) % (width + r) - r, height * (0.2 + 0.12 * i), r, r);
    }
    clock.draw(c);
    if (beat) {
      const place = n % Math.round((fps * 2) / 3);
      c.fillStyle = place < fps / 15 ? '#fff' : '#000';
      c.fillRect(width * 0.93, height * 0.93, width * 0.07, height * 0.07);
      if (place === 0) beat();
    }
    n += 1;
    track.requestFrame();
  };
  const timer = setInterval(draw, 1000 / fps);
  draw();
  return { track, stop: () => { clearInterval(timer); track.stop(); canvas.remove(); } };
}

let audio;
function context() {
  audio ??= new AudioContext({ sampleRate: 48000 });
  return audio;
}

/// A stereo track: one sine per channel, in Hz; if `beats`, silent but for short beeps, one at each `beep()`.
function tones({ left, right, beats = false }) {
  const ctx = context();
  const merger = ctx.createChannelMerger(2);
  const out = new MediaStreamAudioDestinationNode(ctx, { channelCount: 2, channelCountMode: 'explicit' });
  const gains = [];
  const sources = [left, right].map((frequency, channel) => {
    const tone = new OscillatorNode(ctx, { frequency });
    const quiet = new GainNode(ctx, { gain: beats ? 0 : 0.5 });
    tone.connect(quiet).connect(merger, 0, channel);
    tone.start();
    gains.push(quiet.gain);
    return tone;
  });
  merger.connect(out);
  const beep = () => gains.forEach((gain) => gain.setValueAtTime(0.5, ctx.currentTime).setValueAtTime(0, ctx.currentTime + 0.06));
  return { track: out.stream.getAudioTracks()[0], beep, stop: () => sources.forEach((s) => s.stop()) };
}

/// Offers stereo Opus, as a client that wants both channels does.
const stereo = (sdp) => sdp.replace(/(a=fmtp:\d+ )(minptime=10;useinbandfec=1)/g, '$1$2;stereo=1;sprop-stereo=1');

function prefer(transceiver, kind, mime) {
  const all = RTCRtpSender.getCapabilities(kind).codecs;
  const helpers = /\/(rtx|red|ulpfec|flexfec)/i;
  const chosen = all.filter((c) => c.mimeType.toLowerCase() === mime.toLowerCase());
  if (!chosen.length) throw new Error(`this browser cannot send ${mime}`);
  // Of H264 only the constrained baseline that every browser has, packetization mode 1.
  const wanted = mime.toLowerCase() !== 'video/h264' ? chosen
    : chosen.filter((c) => /profile-level-id=42e01f/.test(c.sdpFmtpLine) && /packetization-mode=1/.test(c.sdpFmtpLine));
  transceiver.setCodecPreferences([...wanted, ...all.filter((c) => helpers.test(c.mimeType))]);
}

async function exchange(url, token, sdp) {
  // `window.direct` is the node side, which asks another page's `answer`.
  if (url === 'direct') return { answer: await window.direct(sdp) };
  const headers = { 'Content-Type': 'application/sdp' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(url, { method: 'POST', headers, body: sdp });
  const text = await reply.text();
  if (reply.status !== 201) throw new Error(`POST ${url}: ${reply.status} ${text}`);
  return { answer: text, resource: reply.headers.get('Location'), link: reply.headers.get('Link') };
}

const gathered = (pc) => until('ICE gathering', () => pc.iceGatheringState === 'complete', 5000);
const connected = (pc) => until('the connection', () => pc.connectionState === 'connected');

/// An answer with one candidate only: a link's (`link.mjs`).
function through(sdp, port) {
  const [before, ...after] = sdp.split(/a=candidate:.*\r\n/);
  return `${before}a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host\r\n${after.join('')}`;
}

/// When the first keyframe of this kind of media (of sound: packet) leaves, at the earliest, in ms since 1970: the last look at the statistics
/// that saw none.
async function firstSent(pc, kind) {
  let before = Date.now();
  for (;;) {
    const rtp = [...(await pc.getStats()).values()].find((r) => r.type === 'outbound-rtp' && r.kind === kind);
    if (rtp?.packetsSent > 0 && (kind === 'audio' || rtp.keyFramesEncoded > 0)) return before;
    if (pc.connectionState === 'closed') throw new Error('closed before anything was sent');
    before = rtp?.timestamp ?? before;
    await wait(10);
  }
}

/// Publishes by WHIP. `layers` > 1: simulcast, rids q h f as far as there are layers. `beat`: flashes and beeps instead of lasting tones. With `port`
/// all media passes there.
async function publish({ id = 'p', url, token, codec = 'video/VP8', width = 640, height = 360, fps = 30, layers = 1,
  maxBitrate, hue, left = 440, right = 880, video = true, sound = true, beat = false, port }) {
  const pc = new RTCPeerConnection();
  const me = { pc, parts: [] };
  // Of one stream, so that a viewer keeps lips and voice together.
  const streams = [new MediaStream()];
  publishers[id] = me;
  const tone = sound && tones({ left, right, beats: beat && video });
  if (sound) {
    me.parts.push(tone);
    pc.addTransceiver(tone.track, { direction: 'sendonly', streams });
  }
  if (video) {
    const shown = picture({ width, height, fps, hue, beat: beat && (() => tone && tone.beep()) });
    me.parts.push(shown);
    me.picture = shown;
    const scale = layers === 1 ? [1] : [4, 2, 1].slice(3 - layers);
    const rids = ['q', 'h', 'f'].slice(3 - layers);
    const sendEncodings = scale.map((scaleResolutionDownBy, i) => ({
      ...(layers > 1 && { rid: rids[i], scalabilityMode: 'L1T1' }),
      scaleResolutionDownBy,
      ...(maxBitrate && { maxBitrate: maxBitrate / scaleResolutionDownBy }),
    }));
    const sender = pc.addTransceiver(shown.track, { direction: 'sendonly', streams, sendEncodings });
    prefer(sender, 'video', codec);
    me.video = sender.sender;
    const parameters = me.video.getParameters();
    parameters.degradationPreference = 'maintain-resolution';
    await me.video.setParameters(parameters);
  }
  const offer = await pc.createOffer();
  await pc.setLocalDescription({ type: 'offer', sdp: stereo(offer.sdp) });
  await gathered(pc);
  const { answer, resource } = await exchange(url, token, pc.localDescription.sdp);
  me.resource = resource;
  me.token = token;
  me.first = firstSent(pc, video ? 'video' : 'audio');
  await pc.setRemoteDescription({ type: 'answer', sdp: port ? through(answer, port) : answer });
  await connected(pc);
  return { offer: pc.localDescription.sdp, answer, resource };
}

/// When the first keyframe of a publisher (without pictures: sound) left, see `firstSent`.
const first = (id) => publishers[id].first;

/// Ends what `publish` or `watch` began, with the DELETE that the standard wants.
async function leave(id) {
  const me = publishers[id] ?? viewers[id];
  const headers = me.token ? { Authorization: `Bearer ${me.token}` } : {};
  const reply = await fetch(me.resource, { method: 'DELETE', headers });
  me.pc.close();
  me.parts?.forEach((part) => part.stop());
  delete publishers[id];
  delete viewers[id];
  return reply.status;
}

/// Turns one simulcast layer off or on, as a browser does by itself under pressure.
async function turn(id, rid, active) {
  const parameters = publishers[id].video.getParameters();
  parameters.encodings.find((e) => e.rid === rid).active = active;
  await publishers[id].video.setParameters(parameters);
}

/// Stops sending media; the session stays.
async function hush(id) {
  for (const sender of publishers[id].pc.getSenders()) await sender.replaceTrack(null);
}

function screen() {
  const element = document.createElement('video');
  Object.assign(element, { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream() });
  document.body.append(element);
  return element;
}

/// Watches by WHEP, as a browser `without` some codec; returns as soon as the connection stands, with or without media.
async function watch({ id = 'v', url, token, without }) {
  const pc = new RTCPeerConnection();
  const me = { pc, element: screen(), token };
  viewers[id] = me;
  pc.ontrack = ({ track }) => me.element.srcObject.addTrack(track);
  pc.addTransceiver('audio', { direction: 'recvonly' });
  const video = pc.addTransceiver('video', { direction: 'recvonly' });
  if (without) video.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs.filter((c) => c.mimeType !== without));
  const offer = await pc.createOffer();
  await pc.setLocalDescription({ type: 'offer', sdp: stereo(offer.sdp) });
  await gathered(pc);
  const { answer, resource, link } = await exchange(url, token, pc.localDescription.sdp);
  me.resource = resource;
  await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  await connected(pc);
  return { offer: pc.localDescription.sdp, answer, resource, link };
}

/// All statistics of one of our connections, as an array.
async function stats(id) {
  const { pc } = publishers[id] ?? viewers[id];
  return [...(await pc.getStats()).values()];
}

/// Answers the offer of another page's `publish({ url: 'direct' })`: the same media with no server between, the floor of every latency.
async function answer({ id = 'v', sdp }) {
  const pc = new RTCPeerConnection();
  const me = { pc, element: screen() };
  viewers[id] = me;
  pc.ontrack = ({ track }) => me.element.srcObject.addTrack(track);
  await pc.setRemoteDescription({ type: 'offer', sdp });
  const created = await pc.createAnswer();
  await pc.setLocalDescription({ type: 'answer', sdp: stereo(created.sdp) });
  await gathered(pc);
  return pc.localDescription.sdp;
}

window.lab = { publish, watch, leave, turn, hush, stats, first, answer, through, picture, tones, prefer, publishers, viewers, until, wait };
