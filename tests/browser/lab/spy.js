// Notes what Weir's own page shows and plays, from outside: every frame of its `video`, every beep of its sound, and the numbers of its
// peer connection. A plain script for `addInitScript`, after `clock.js`. Times are milliseconds since 1970, by the clock that all pages share.

window.spy = (() => {
  const epoch = performance.timeOrigin;
  const LOUD = 0.1; // The beeps have 0.4 and more.
  const QUIET = 200; // Milliseconds without a loud sample before a beep.

  /// `frames`: `{ at, size, clock, hue }`; `flashes`: when each reaches the eye; `beeps`: when the first sample of each left the jitter
  /// buffer; `samples`: see `sample`; `stalls`: `[when, ms]` when the page was kept from running.
  const notes = { frames: [], flashes: [], beeps: [], samples: [], stalls: [] };
  /// What to read in each picture: `flash: [x, y]` as fractions, `clock: true`.
  let reading = {};

  const scratch = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });
  const row = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });

  /// The colour at a place of the picture, given as fractions.
  function pixel(video, [x, y]) {
    scratch.drawImage(video, Math.floor(x * video.videoWidth), Math.floor(y * video.videoHeight), 1, 1, 0, 0, 1, 1);
    return scratch.getImageData(0, 0, 1, 1).data;
  }

  /// Degrees on the colour wheel, to the nearest ten.
  function hue([r, g, b]) {
    const max = Math.max(r, g, b);
    const span = max - Math.min(r, g, b);
    if (span < 20) return null;
    const sixth = max === r ? (g - b) / span : max === g ? 2 + (b - r) / span : 4 + (r - g) / span;
    return (Math.round(sixth * 6) * 10 + 360) % 360;
  }

  let dark = true;
  function look(video) {
    video.requestVideoFrameCallback((_, { presentationTime, expectedDisplayTime, width, height }) => {
      look(video);
      const frame = { at: epoch + presentationTime, size: `${width}x${height}` };
      if (reading.clock) Object.assign(frame, { clock: clock.read(video, row), hue: hue(pixel(video, [0.02, 0.98])) });
      notes.frames.push(frame);
      if (!reading.flash) return;
      const bright = pixel(video, reading.flash)[1] > 128;
      if (bright && dark) notes.flashes.push(epoch + expectedDisplayTime);
      dark = !bright;
    });
  }

  /// What the track gives to whoever plays it. Not by Web Audio: that adds a buffer of its own.
  async function listen(track) {
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
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

  let listening = null;
  async function sample() {
    const pc = window.connections?.at(-1);
    if (!pc) return;
    const all = [...(await pc.getStats()).values()];
    const of = (kind) => all.find((r) => r.type === 'inbound-rtp' && r.kind === kind) ?? {};
    const [video, audio, playout] = [of('video'), of('audio'), all.find((r) => r.type === 'media-playout')];
    notes.samples.push({
      at: epoch + performance.now(),
      decoded: video.framesDecoded ?? 0,
      size: `${video.frameWidth}x${video.frameHeight}`,
      codec: all.find((c) => c.id === video.codecId)?.mimeType,
      freezes: video.freezeCount ?? 0,
      audioPackets: audio.packetsReceived ?? 0,
      /// Samples that were really received, in ms, and their energy.
      heard: ((audio.totalSamplesReceived ?? 0) - (audio.concealedSamples ?? 0)) / 48,
      energy: audio.totalAudioEnergy ?? 0,
      /// How much later sound is played than pictures, by the browser's own reckoning from the sender reports.
      sync: video.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp,
      /// How long sound is on its way from the jitter buffer to the ear, on average.
      output: playout?.totalSamplesCount ? (1000 * playout.totalPlayoutDelay) / playout.totalSamplesCount : 0,
    });
    const track = pc.getReceivers().find((r) => r.track.kind === 'audio')?.track;
    if (track && track !== listening) listen(listening = track);
  }

  function begin() {
    const video = document.querySelector('video');
    if (!video) return void setTimeout(begin, 20);
    look(video);
    let busy = false;
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      if (now - last > 100) notes.stalls.push([epoch + now, Math.round(now - last - 50)]);
      last = now;
      if (busy) return;
      busy = true;
      sample().finally(() => { busy = false; });
    }, 50);
  }
  begin();

  /// Everything noted at `since` or later.
  const later = (since) => ({
    frames: notes.frames.filter(({ at }) => at >= since),
    flashes: notes.flashes.filter((at) => at >= since),
    beeps: notes.beeps.filter((at) => at >= since),
    samples: notes.samples.filter(({ at }) => at >= since),
    stalls: notes.stalls.filter(([at]) => at >= since),
  });

  return { read: (what) => { reading = what; dark = true; }, since: later };
})();
