// An FFmpeg that publishes by WHIP (version 8 or newer), and clips made by it.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/// Where it is: WEIR_TEST_FFMPEG, else the one of Python's imageio-ffmpeg.
export function ffmpeg() {
  if (process.env.WEIR_TEST_FFMPEG) return process.env.WEIR_TEST_FFMPEG;
  try {
    const find = 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())';
    return execFileSync('python3', ['-c', find], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch {
    throw new Error('no FFmpeg with WHIP: `make test` installs one, or say where in WEIR_TEST_FFMPEG');
  }
}

const SOURCE = ({ size, fps, left, right }) => [
  '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${fps}`,
  '-f', 'lavfi', '-i', `aevalsrc=0.4*sin(2*PI*${left}*t)|0.4*sin(2*PI*${right}*t):s=48000:c=stereo`,
];
const OPUS = ['-c:a', 'libopus', '-ar', '48000', '-ac', '2', '-b:a', '96k'];
const H264 = (fps) => ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline', '-pix_fmt', 'yuv420p',
  '-bf', '0', '-g', String(fps), '-b:v', '800k'];

const LIVE = (fps) => ['-cpu-used', '8', '-lag-in-frames', '0', '-pix_fmt', 'yuv420p', '-g', String(fps), '-b:v', '800k'];
const CODED = {
  H264,
  VP8: (fps) => ['-c:v', 'libvpx', '-deadline', 'realtime', '-auto-alt-ref', '0', ...LIVE(fps)],
  VP9: (fps) => ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-auto-alt-ref', '0', ...LIVE(fps)],
  AV1: (fps) => ['-c:v', 'libaom-av1', '-usage', 'realtime', ...LIVE(fps)],
};

/// Publishes by WHIP until `stop`.
export function publish(url, { codec = 'H264', size = '640x360', fps = 30, left = 440, right = 880, sound = true, verbose } = {}) {
  return start(['-re', ...SOURCE({ size, fps, left, right }), ...CODED[codec](fps), ...(sound ? OPUS : ['-an']), '-f', 'whip', url], { verbose });
}

/// What it says of a muxer, a demuxer, …
export async function help(topic) {
  const { stdout, stderr } = await run(ffmpeg(), ['-hide_banner', '-h', topic]);
  return stdout + stderr;
}

/// Runs FFmpeg with these arguments until `stop`; `by`: another one.
export function start(args, { verbose = false, by = ffmpeg() } = {}) {
  const level = verbose ? 'verbose' : 'info';
  const child = spawn(by, ['-hide_banner', '-nostdin', '-loglevel', level, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  /// `[when, chunk]` of all that it has said.
  const heard = [];
  child.stderr.on('data', (chunk) => {
    log = (log + chunk).slice(-20000);
    if (heard.length < 1000) heard.push([Date.now(), String(chunk)]);
  });
  const ended = new Promise((done) => child.once('exit', (code, signal) => done(code ?? signal)));
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  return {
    log: () => log,
    ended,
    /// When it said this, in ms since 1970.
    async said(what, ms = 20000) {
      const end = Date.now() + ms;
      for (;;) {
        const found = heard.find(([, chunk]) => what.test(chunk));
        if (found) return found[0];
        if (child.exitCode !== null || child.signalCode || Date.now() > end) throw new Error(`FFmpeg never said ${what}:\n${log}`);
        await new Promise((done) => setTimeout(done, 10));
      }
    },
    /// Sends a signal and waits for the end.
    async kill(signal) {
      child.kill(signal);
      const hung = setTimeout(kill, 10000);
      const code = await ended;
      clearTimeout(hung);
      process.off('exit', kill);
      return code;
    },
    async stop() {
      // The first SIGINT ends the stream in order, with WHIP's DELETE.
      return this.kill('SIGINT');
    },
  };
}

/// A few seconds of access units and of Opus packets (20 ms). H.264: Annex B, four slices each, parameter sets before each IDR; AV1: without temporal
/// delimiters.
export async function clip({ codec = 'H264', size = '640x360', fps = 30, seconds = 4, left = 440, right = 880 } = {}) {
  const big = { encoding: 'buffer', maxBuffer: 1 << 26 };
  const base = ['-hide_banner', '-nostdin', '-loglevel', 'error', ...SOURCE({ size, fps, left, right }), '-t', String(seconds)];
  const { file, cut } = codec === 'H264' ? { file: ['-x264-params', 'aud=1:slices=4', '-f', 'h264'], cut: accessUnits }
    : { file: ['-f', 'ivf'], cut: codec === 'AV1' ? undelimited : ivfFrames };
  const video = await run(ffmpeg(), [...base, '-map', '0:v', ...CODED[codec](fps), ...file, 'pipe:1'], big);
  const audio = await run(ffmpeg(), [...base, '-map', '1:a', ...OPUS, '-frame_duration', '20', '-f', 'ogg', 'pipe:1'], big);
  return { codec, fps, video: cut(video.stdout), audio: oggPackets(audio.stdout).slice(2) };
}

/// The frames of an IVF file.
function ivfFrames(file) {
  const frames = [];
  for (let at = 32; at + 12 <= file.length;) {
    const end = at + 12 + file.readUInt32LE(at);
    frames.push(file.subarray(at + 12, end));
    at = end;
  }
  return frames;
}

/// The same of AV1 without the temporal delimiters, two bytes each, which RTP leaves out.
const undelimited = (file) => ivfFrames(file).map((unit) => unit.subarray(2));

/// Cuts at the access unit delimiters and drops them.
function accessUnits(stream) {
  const delimiter = Buffer.from([0, 0, 0, 1, 9]);
  const units = [];
  let at = stream.indexOf(delimiter);
  while (at >= 0) {
    const next = stream.indexOf(delimiter, at + 5);
    units.push(stream.subarray(at + 6, next < 0 ? undefined : next));
    at = next;
  }
  return units;
}

/// RFC 3533: the packets of an Ogg stream, the two header packets first.
function oggPackets(stream) {
  const packets = [];
  let open = [];
  for (let at = 0; at + 27 <= stream.length;) {
    const lacing = stream.subarray(at + 27, at + 27 + stream[at + 26]);
    let from = at + 27 + lacing.length;
    for (const length of lacing) {
      open.push(stream.subarray(from, from + length));
      from += length;
      if (length < 255) {
        packets.push(Buffer.concat(open));
        open = [];
      }
    }
    at = from;
  }
  return packets;
}
