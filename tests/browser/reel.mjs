// A reel: film encoded once and then published again and again by FFmpeg as it is, so that nothing can make a keyframe where there is none.
//
// Across the top of each picture run 16 squares: white, black, the frame's number in 12 bits (most significant first), their parity, and a
// flash where a beep begins, every 20 frames. The film has no seam: its sound is as long as its pictures, and its first Opus packet has
// timestamp 0 (the beeps are early by the encoder's delay of 312 samples instead).

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ffmpeg, start } from './ffmpeg.mjs';

const OUT = fileURLToPath(new URL('out/', import.meta.url));

export const FPS = 30;
/// Frames from one keyframe to the next.
export const GOP = 120;
/// Frames from one beep to the next.
export const BEEP = 20;
/// Frames until it begins again.
export const FRAMES = 1800;
const BITS = 12;

/// Encodes a film of `width`×`height` at `bitrate` bit/s, or finds it made before: `{ path, bitrate }`, `bitrate` as it became, with sound.
export async function reel({ width, height, bitrate }) {
  const square = width / 16;
  const box = (x, w, colour, when = '1') => `drawbox=x=${x * square}:y=0:w=${w * square}:h=${square}:color=${colour}:t=fill:enable='${when}'`;
  const bit = (k) => `mod(floor(n/${2 ** k}),2)`;
  const bits = Array.from({ length: BITS }, (_, i) => BITS - 1 - i);
  const squares = [
    box(0, 16, 'black'), box(0, 1, 'white'),
    ...bits.map((k, i) => box(2 + i, 1, 'white', bit(k))),
    box(14, 1, 'white', `mod(${bits.map(bit).join('+')},2)`),
    box(15, 1, 'white', `lt(mod(n,${BEEP}),2)`),
  ];
  const args = [
    '-f', 'lavfi', '-i', `testsrc2=size=${width}x${height}:rate=${FPS}`,
    '-f', 'lavfi', '-i', `aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod((t+312/48000)*${FPS / BEEP},1),0.09)':s=48000:c=stereo`,
    '-frames:v', String(FRAMES), '-frames:a', String((FRAMES / FPS) * 50), '-af', 'asetpts=PTS+312',
    // Grain that stands still makes keyframes large, as a camera's are; the rate control of a live encoder holds them to some five average
    // frames. (At eight, a link of 1.5 times the bitrate needs so long for one that Chromium counts a freeze or not by chance.)
    '-vf', `format=yuv420p,noise=alls=3,${squares}`,
    '-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'baseline', '-pix_fmt', 'yuv420p', '-bf', '0',
    '-g', String(GOP), '-keyint_min', String(GOP), '-sc_threshold', '0',
    '-b:v', String(bitrate), '-maxrate', String(bitrate), '-bufsize', String(Math.round(bitrate / 6)),
    '-c:a', 'libopus', '-b:a', '64k', '-frame_duration', '20', '-f', 'nut',
  ];
  const path = join(OUT, `reel-${height}p-${createHash('sha256').update(args.join(' ')).digest('hex').slice(0, 12)}.nut`);
  if (!existsSync(path)) {
    await mkdir(OUT, { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    await promisify(execFile)(ffmpeg(), ['-hide_banner', '-nostdin', '-loglevel', 'error', '-y', ...args, unfinished]);
    await rename(unfinished, path);
  }
  return { path, bitrate: Math.round(((await stat(path)).size * 8) / (FRAMES / FPS)) };
}

/// Publishes a reel by WHIP until `stop`. FFmpeg's muxer has no encoder to ask for a keyframe: a PLI changes nothing.
export const show = (url, { path }, how) => start(['-re', '-stream_loop', '-1', '-i', path, '-c', 'copy', '-f', 'whip', url], how);
