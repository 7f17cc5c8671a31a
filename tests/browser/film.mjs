// Films for encoders that publish by RTMP: made once by `../film.sh`, which says what is in the pictures, and kept in `out/`.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ffmpeg, start } from './ffmpeg.mjs';

const OUT = fileURLToPath(new URL('out/', import.meta.url));
const MAKER = fileURLToPath(new URL('../film.sh', import.meta.url));

/// Debian 12's FFmpeg, 5.1: RTMP as it was for twenty years.
export const OLD = 'ffmpeg';

/// How films are coded: `by` whom, `video`, `audio`.
export const RECIPES = {
  /// What x264 and FFmpeg do if nobody says anything: B-frames, a keyframe every 250 pictures, AAC.
  defaults: { by: OLD, video: '-c:v libx264', audio: '-c:a aac' },
  /// What WebRTC takes as it is, but for the AAC.
  plain: { by: OLD, video: '-c:v libx264 -preset veryfast -bf 0 -g 60', audio: '-c:a aac' },
  hevc: { by: ffmpeg(), video: '-c:v libx265 -preset ultrafast -g 60 -tag:v hvc1 -x265-params log-level=error', audio: '-c:a libopus -b:a 96k' },
  /// What SVT-AV1 does if nobody says anything: a pyramid of hidden frames, several in one picture's message.
  av1: { by: ffmpeg(), video: '-c:v libsvtav1 -g 60', audio: '-c:a libopus -b:a 96k' },
};

/// A film, from `out/` where it is there: `{ path, frames, by }`, 30 pictures a second.
export async function makeFilm(name, { width, height, frames }) {
  const { by, video, audio } = RECIPES[name];
  const size = `${width}x${height}`;
  const encoders = [...video.split(' '), ...audio.split(' ')];
  const about = [size, frames, ...encoders, await readFile(MAKER)].join(' ');
  const path = join(OUT, `film-${name}-${height}p-${createHash('sha256').update(about).digest('hex').slice(0, 12)}.mp4`);
  if (!existsSync(path)) {
    await mkdir(OUT, { recursive: true });
    await promisify(execFile)(MAKER, [size, String(frames), path, ...encoders], { env: { ...process.env, FFMPEG: by } });
  }
  return { path, frames, by };
}

/// Publishes a film as it is, from its beginning, by its own FFmpeg, until `stop`.
export const publishFilm = (url, { path, by }, how) =>
  start(['-re', '-stream_loop', '-1', '-i', path, '-c', 'copy', '-f', 'flv', url], { by, ...how });
