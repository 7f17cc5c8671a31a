// Looks at Weir's own page from outside, whichever way its stream comes: each picture that its `video` shows and what stands in it, each time that
// it ran dry, each moment when there was nothing to be seen where a picture had been, and the beeps. A plain script for `addInitScript`, after
// `clock.js`. Times are milliseconds since 1970, by the clock that all pages share.

window.eye = (() => {
  const epoch = performance.timeOrigin;
  const BITS = 12;
  const LOUD = 0.1; // The beeps have 0.5.
  const QUIET = 200; // Milliseconds without a loud sample before a beep.

  /// `frames`: `[when, what]`, `what` as `read` gives it; `dry`: when the player had nothing to play; `bare`: `[when, ms]` without picture or
  /// still; `beeps`: when each began to be played; `sound`: to where it was heard; `stalls`: `[when, ms]` when the page was kept from running.
  const notes = { frames: [], dry: [], bare: [], beeps: [], sound: null, stalls: [] };

  const scratch = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });

  /// The number of a film's picture (`../film.mjs`), or the clock of the lab's; null: neither.
  function read(video) {
    const width = BITS + 4;
    const square = video.videoWidth / width;
    Object.assign(scratch.canvas, { width, height: 1 });
    scratch.imageSmoothingEnabled = false;
    scratch.drawImage(video, 0, Math.round(square / 2), video.videoWidth, 1, 0, 0, width, 1);
    const { data } = scratch.getImageData(0, 0, width, 1);
    const bits = Array.from({ length: width }, (_, i) => (data[4 * i] > 128 ? 1 : 0));
    const number = bits.slice(2, 2 + BITS);
    if (bits[0] && !bits[1] && number.reduce((a, b) => a ^ b) === bits[2 + BITS]) return number.reduce((n, b) => 2 * n + b);
    return null;
  }

  /// `film` or `clock`: what is in the pictures. Each is read as it comes up.
  let what = 'film';

  function look(video) {
    video.requestVideoFrameCallback((_, { presentationTime }) => {
      look(video);
      notes.frames.push([epoch + presentationTime, what === 'clock' ? clock.read(video, scratch) : read(video)]);
    });
  }

  let seen = false;
  let bareSince = null;
  function cover(video) {
    requestAnimationFrame(() => cover(video));
    const still = document.querySelector('weir-player')?.shadowRoot?.querySelector('.still');
    // While it seeks, an element goes on showing what it showed.
    const shows = (video.readyState >= 2 || video.seeking || video.src !== '') && video.videoWidth > 0;
    seen ||= shows;
    const bare = seen && !shows && (still?.hidden ?? true);
    const now = performance.now();
    if (bare && bareSince === null) bareSince = now;
    if (!bare && bareSince !== null) {
      notes.bare.push([epoch + bareSince, Math.round(now - bareSince)]);
      bareSince = null;
    }
  }

  /// Notes the beeps of what is played from now on; resolves with the first of its sound. Where a beep lies is told by the samples before it, and
  /// not by when this page came to read them.
  async function listen() {
    const video = document.querySelector('video');
    const stream = video.srcObject ?? video.captureStream();
    const [track] = stream.getAudioTracks();
    // Ten seconds: a page that is kept from running loses nothing.
    const reader = new MediaStreamTrackProcessor({ track: track.clone(), maxBufferSize: 1000 }).readable.getReader();
    const first = await reader.read();
    const from = epoch + performance.now();
    let played = 0;
    let loud = -Infinity;
    const hear = (chunk) => {
      const samples = new Float32Array(chunk.numberOfFrames);
      chunk.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      for (let i = 0; i < samples.length; i++) {
        if (Math.abs(samples[i]) < LOUD) continue;
        const now = from + 1000 * (played + i / chunk.sampleRate);
        if (now - loud > QUIET) notes.beeps.push(now);
        loud = now;
      }
      played += chunk.numberOfFrames / chunk.sampleRate;
      notes.sound = from + 1000 * played;
      chunk.close();
    };
    const go = async () => {
      for (let it = first; !it.done; it = await reader.read()) hear(it.value);
    };
    void go();
  }

  function begin() {
    const video = document.querySelector('video');
    if (!video) return void setTimeout(begin, 20);
    look(video);
    cover(video);
    let began = false;
    video.addEventListener('playing', () => { began = true; });
    video.addEventListener('emptied', () => { began = false; });
    video.addEventListener('waiting', () => began && !video.seeking && notes.dry.push(epoch + performance.now()));
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      if (now - last > 100) notes.stalls.push([epoch + now, Math.round(now - last - 50)]);
      last = now;
    }, 50);
  }
  begin();

  /// Everything noted at `since` or later; what is older is forgotten.
  function since(when) {
    for (const [key, list] of Object.entries(notes)) if (Array.isArray(list)) notes[key] = list.filter((one) => (Array.isArray(one) ? one[0] : one) >= when);
    return notes;
  }

  return { read: (kind) => { what = kind; }, listen, since };
})();
