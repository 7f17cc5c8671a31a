// Publishers that a test may kill: Chromium, FFmpeg and webrtc-rs behind one face.
//
// Each is `{ name, size, mime, fps, video, sound, flash, start }`; `flash`: where in the picture it flashes when it beeps, as fractions.
// `start(weir, stream)` gives `{ first, end, heal, drop, log }`: when its first keyframe (without pictures: sound) left, at the earliest; how to
// end it, by any of the ways it knows; `heal` takes a cut back; `drop` frees what is left of one that the server has let go.

import * as ff from './ffmpeg.mjs';
import { makeFilm, publishFilm } from './film.mjs';
import { startLink } from './link.mjs';
import { reel, show } from './reel.mjs';
import * as rs from './webrtc-rs.mjs';

/// In the corner of the lab's pictures, and in the last square of a reel's.
const LAB_FLASH = [0.97, 0.965];
const REEL_FLASH = [15.5 / 16, 0.5 / 9];

const mediaPort = async (weir) => {
  const { listeners } = await weir.api('server');
  return Number(listeners.find((l) => l.transport === 'udp').address.split(':').at(-1));
};

const sized = (width, height) => (width ? `${width}x${height}` : null);

/// The lab's publisher. Ends by `DELETE`, `crash` (its tab is killed), and with `link` by `cut`.
export async function chromium(rig, { codec, width, height, fps = 30, video = true, sound = true, hue, link = false }) {
  return {
    name: video ? `Chromium ${codec} ${height}p` : 'Chromium sound alone',
    size: sized(width, height), mime: `video/${codec}`.toLowerCase(), fps, video, sound, flash: video ? LAB_FLASH : null,
    async start(weir, stream) {
      const page = await rig.lab('publisher');
      const between = link && await startLink({ target: await mediaPort(weir), rate: 1e8, queue: 1e6, delay: 1 });
      await page.evaluate((how) => lab.publish(how), {
        ...weir.publish(stream), codec: `video/${codec}`, width, height, fps, video, sound, hue, beat: true, port: between?.port,
      });
      return {
        log: () => page.errors.join('\n'),
        first: () => page.evaluate(() => lab.first('p')),
        heal: () => between.cut(false),
        drop: async () => { await page.done(); if (between) await between.stop(); },
        async end(how) {
          if (how === 'cut') return between.cut(true);
          if (how === 'DELETE') await page.evaluate(() => lab.leave('p'));
          if (how === 'crash') {
            const crashed = new Promise((done) => page.once('crash', done));
            const devtools = await page.context().newCDPSession(page);
            devtools.send('Page.crash').catch(() => {}); // Nobody is left to answer.
            await crashed;
          }
          await this.drop();
        },
      };
    },
  };
}

/// FFmpeg with a film that was encoded before: no PLI moves it. Ends by any signal.
export async function film({ width, height }) {
  const made = await reel({ width, height, bitrate: 1000000 });
  return {
    name: `FFmpeg H264 ${height}p, keyframes every 4 s`,
    size: sized(width, height), mime: 'video/h264', fps: 30, video: true, sound: true, flash: REEL_FLASH,
    start: async (weir, stream) => signalled(show(weir.whip(stream), made, { verbose: true })),
  };
}

/// FFmpeg with a live encoder. Ends by any signal.
export async function ffmpeg({ width, height, fps, sound }) {
  return {
    name: `FFmpeg H264 ${height}p${sound ? '' : ', pictures alone'}`,
    size: sized(width, height), mime: 'video/h264', fps, video: true, sound, flash: null,
    start: async (weir, stream) => signalled(ff.publish(weir.whip(stream), { size: sized(width, height), fps, sound, verbose: true })),
  };
}

/// FFmpeg by RTMP with a film of this recipe (`film.mjs`). Ends by any signal.
export async function rtmp(recipe, { width, height, frames = 600 }) {
  const made = await makeFilm(recipe, { width, height, frames });
  return {
    name: `FFmpeg RTMP ${recipe} ${height}p`,
    size: sized(width, height), mime: 'video/h264', fps: 30, video: true, sound: true, flash: REEL_FLASH,
    async start(weir, stream) {
      const child = publishFilm(weir.rtmp(stream), made, { verbose: true });
      const ends = signalled(child);
      // It has been told that it may publish; the next that it does is to send.
      return { ...ends, first: () => child.said(/Output #0/) };
    },
  };
}

function signalled(child) {
  return {
    log: child.log,
    // It has keys; the next that it does is to send the keyframe.
    first: () => child.said(/SRTP setup done/),
    end: (signal) => child.kill(signal),
    drop: () => child.kill('SIGKILL'),
  };
}

/// webrtc-rs with a clip that has one keyframe, and another whenever it is asked. Ends by any signal, by `cut` and by `DELETE`.
export async function webrtcRs(clip) {
  await rs.prepare(clip);
  return {
    name: `webrtc-rs ${clip.codec.toUpperCase()} ${clip.height}p`,
    size: sized(clip.width, clip.height), mime: `video/${clip.codec}`, fps: 30, video: true, sound: true, flash: null,
    async start(weir, stream) {
      const child = rs.publish(weir.whip(stream), clip);
      return {
        log: child.log,
        first: (since) => child.keyframe(since),
        heal: () => child.tell('heal'),
        drop: () => child.kill('SIGKILL'),
        async end(how) {
          if (how === 'cut') return child.tell('cut');
          if (how === 'DELETE') {
            child.tell('leave');
            return child.ended;
          }
          return child.kill(how);
        },
      };
    },
  };
}
