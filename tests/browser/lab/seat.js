// A viewer by WHEP that notes when it shows which frame and when it hears a beep, on the clock that all pages of the browser share
// (milliseconds since 1970). The film is of `reel.mjs`. It takes its seat in two steps, so that the POST is at the moment that the test wants:
// the offer is ready before. A plain script, put into the lab page.

window.seat = (() => {
  const { lab } = window;
  const epoch = performance.timeOrigin;
  const BITS = 12;
  const LOUD = 0.1; // The beeps have 0.5.
  const QUIET = 200; // Milliseconds without a loud sample before a beep.

  /// `[when, number]` of each frame shown; when each flash reaches the eye; when the first sample of each beep was taken from the jitter buffer;
  /// how many frames were not of the film.
  const notes = { frames: [], flashes: [], beeps: [], unread: 0, stalls: [] };
  let pc;
  let resource;
  let video;

  const scratch = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });
  Object.assign(scratch.canvas, { width: BITS + 4, height: 1 });
  scratch.imageSmoothingEnabled = false;

  /// What the squares of the frame that `video` shows say, or null if that is not our film.
  function read() {
    const { width } = scratch.canvas;
    const square = video.videoWidth / width;
    scratch.drawImage(video, 0, Math.round(square / 2), video.videoWidth, 1, 0, 0, width, 1);
    const { data } = scratch.getImageData(0, 0, width, 1);
    const bits = Array.from({ length: width }, (_, i) => (data[4 * i] > 128 ? 1 : 0));
    const number = bits.slice(2, 2 + BITS);
    const parity = number.reduce((a, b) => a ^ b);
    if (!bits[0] || bits[1] || parity !== bits[2 + BITS]) return null;
    return { number: number.reduce((n, b) => 2 * n + b), flash: bits[3 + BITS] };
  }

  let dark = true;
  let looked = 0;
  function look(_, { presentationTime, expectedDisplayTime }) {
    video.requestVideoFrameCallback(look);
    note(++looked, presentationTime, expectedDisplayTime);
  }

  /// A page may show its very first frame some milliseconds before a script can read it: it is read again until the next one is there.
  function note(which, presentationTime, expectedDisplayTime, tries = 0) {
    if (which !== looked) return;
    const seen = read();
    if (!seen && tries < 20) return void setTimeout(note, 5, which, presentationTime, expectedDisplayTime, tries + 1);
    if (!seen) return void notes.unread++;
    notes.frames.push([epoch + presentationTime, seen.number]);
    if (seen.flash && dark) notes.flashes.push(epoch + expectedDisplayTime);
    dark = !seen.flash;
  }

  /// Notes the beeps of what the track gives to whoever plays it. Not by Web Audio: that adds a buffer of its own (16 ms were measured).
  async function listen(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let loud = -Infinity;
    for (;;) {
      const { value: chunk, done } = await reader.read();
      if (done) return;
      const samples = new Float32Array(chunk.numberOfFrames);
      chunk.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      for (let i = 0; i < samples.length; i++) {
        if (Math.abs(samples[i]) < LOUD) continue;
        const now = epoch + chunk.timestamp / 1000 + (1000 * i) / chunk.sampleRate;
        if (now - loud > QUIET) notes.beeps.push(now);
        loud = now;
      }
      chunk.close();
    }
  }

  /// Notes `[when, ms]` when the page was kept from running for long.
  function watchStalls() {
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      if (now - last > 50) notes.stalls.push([epoch + now, Math.round(now - last - 20)]);
      last = now;
    }, 20);
  }

  /// Everything before the POST.
  async function prepare() {
    video = Object.assign(document.createElement('video'), { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream() });
    document.body.append(video);
    video.requestVideoFrameCallback(look);
    pc = new RTCPeerConnection();
    pc.ontrack = ({ track }) => {
      video.srcObject.addTrack(track);
      if (track.kind === 'audio') listen(track);
    };
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
    await pc.setLocalDescription();
    await lab.until('ICE gathering', () => pc.iceGatheringState === 'complete', 5000);
  }

  /// POSTs at the time `at`, or at once; with `port` all media passes there. Gives when the POST was, and after how many ms the answer
  /// was there and the connection stood, and the resource. Without a URL another page answers, see `film`.
  async function enter({ url, at, port }) {
    const ahead = at === undefined ? 0 : at - epoch - performance.now();
    if (ahead > 0) await lab.wait(ahead);
    watchStalls();
    const posted = performance.now();
    const sdp = url ? await post(url) : await window.direct(pc.localDescription.sdp);
    const answered = performance.now();
    await pc.setRemoteDescription({ type: 'answer', sdp: port ? lab.through(sdp, port) : sdp });
    await lab.until('the connection', () => pc.connectionState === 'connected');
    return { at: epoch + posted, answered: answered - posted, connected: performance.now() - posted, resource };
  }

  async function post(url) {
    const reply = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    const sdp = await reply.text();
    if (reply.status !== 201) throw new Error(`POST ${url}: ${reply.status} ${sdp}`);
    resource = reply.headers.get('Location');
    return sdp;
  }

  /// The other end of a seat that has no server: a film like the reel, made here, sent to whoever made this `offer`. The notes then say when
  /// each flash was drawn, and when the first sample of each beep left for the encoder.
  async function film({ offer, width, height, bitrate, fps, beep }) {
    const ctx = new AudioContext({ sampleRate: 48000 });
    const sound = new MediaStreamAudioDestinationNode(ctx);
    const gain = new GainNode(ctx, { gain: 0 });
    const tone = new OscillatorNode(ctx, { frequency: 1000 });
    tone.connect(gain).connect(sound);
    tone.start();
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    document.body.append(canvas);
    const c = canvas.getContext('2d', { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    const side = width / (BITS + 4);
    let n = 0;
    setInterval(() => {
      c.fillStyle = `hsl(${n % 360} 60% 40%)`;
      c.fillRect(0, 0, width, height);
      const bits = Array.from({ length: BITS }, (_, i) => (n >> (BITS - 1 - i)) & 1);
      const flash = n % beep < 2;
      [1, 0, ...bits, bits.reduce((a, b) => a ^ b), flash].forEach((bit, i) => {
        c.fillStyle = bit ? '#fff' : '#000';
        c.fillRect(i * side, 0, side, side);
      });
      if (n % beep === 0) {
        notes.flashes.push(epoch + performance.now());
        gain.gain.setValueAtTime(0.5, ctx.currentTime).setValueAtTime(0, ctx.currentTime + 0.06);
      }
      track.requestFrame();
      n = (n + 1) % 2 ** BITS;
    }, 1000 / fps);
    listen(sound.stream.getAudioTracks()[0].clone());
    pc = new RTCPeerConnection();
    await pc.setRemoteDescription({ type: 'offer', sdp: offer });
    // Of one stream, so that lips and voice are kept together.
    const senders = [sound.stream.getAudioTracks()[0], track].map((one) => pc.addTrack(one, sound.stream));
    const { codecs } = RTCRtpSender.getCapabilities('video');
    const h264 = (codec) => codec.mimeType === 'video/H264';
    pc.getTransceivers().find((t) => t.sender === senders[1]).setCodecPreferences(codecs.toSorted((a, b) => h264(b) - h264(a)));
    await pc.setLocalDescription();
    const parameters = senders[1].getParameters();
    parameters.encodings[0].maxBitrate = bitrate;
    await senders[1].setParameters(parameters);
    await lab.until('ICE gathering', () => pc.iceGatheringState === 'complete', 5000);
    return pc.localDescription.sdp;
  }

  /// The inbound statistics; `output`: how long sound is on its way from the jitter buffer to the ear, in ms, on average since the beginning.
  async function stats() {
    const all = [...(await pc.getStats()).values()];
    const of = (kind) => all.find((r) => r.type === 'inbound-rtp' && r.kind === kind) ?? {};
    const playout = all.find((r) => r.type === 'media-playout');
    return { video: of('video'), audio: of('audio'), output: playout?.totalSamplesCount ? (1000 * playout.totalPlayoutDelay) / playout.totalSamplesCount : 0 };
  }

  async function leave() {
    if (resource) await fetch(resource, { method: 'DELETE' });
    pc.close();
  }

  return { prepare, enter, film, stats, leave, notes: () => notes, last: () => notes.frames.at(-1) ?? null };
})();
