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
  function look(_, { presentationTime, expectedDisplayTime }) {
    video.requestVideoFrameCallback(look);
    const seen = read();
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
  /// was there and the connection stood.
  async function enter({ url, at, port }) {
    const ahead = at === undefined ? 0 : at - epoch - performance.now();
    if (ahead > 0) await lab.wait(ahead);
    watchStalls();
    const posted = performance.now();
    const reply = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    const sdp = await reply.text();
    if (reply.status !== 201) throw new Error(`POST ${url}: ${reply.status} ${sdp}`);
    resource = reply.headers.get('Location');
    const answered = performance.now();
    await pc.setRemoteDescription({ type: 'answer', sdp: port ? through(sdp, port) : sdp });
    await lab.until('the connection', () => pc.connectionState === 'connected');
    return { at: epoch + posted, answered: answered - posted, connected: performance.now() - posted };
  }

  /// The answer with one candidate only: the link's.
  function through(sdp, port) {
    const [before, ...after] = sdp.split(/a=candidate:.*\r\n/);
    return `${before}a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host\r\n${after.join('')}`;
  }

  /// The inbound statistics; `output`: how long sound is on its way from the jitter buffer to the ear, in ms, on average since the beginning.
  async function stats() {
    const all = [...(await pc.getStats()).values()];
    const of = (kind) => all.find((r) => r.type === 'inbound-rtp' && r.kind === kind) ?? {};
    const playout = all.find((r) => r.type === 'media-playout');
    return { video: of('video'), audio: of('audio'), output: playout?.totalSamplesCount ? (1000 * playout.totalPlayoutDelay) / playout.totalSamplesCount : 0 };
  }

  async function leave() {
    await fetch(resource, { method: 'DELETE' });
    pc.close();
  }

  return { prepare, enter, stats, leave, notes: () => notes, last: () => notes.frames.at(-1) ?? null };
})();
