// Both channels of a stereo publisher are heard, each where it belongs.

import test from 'node:test';
import { clean, hears, shows, startRig } from './rig.mjs';

const rig = await startRig();
const { weir } = rig;

test('left and right, from a WHIP publisher to the watch page', async () => {
  const publisher = await rig.lab('audio-publisher');
  await publisher.evaluate((to) => lab.publish({ ...to, left: 440, right: 880 }), weir.publish('stereo'));
  const watch = await rig.open(`${weir.origin}/watch/stereo`, { name: 'audio' });
  await shows(watch, 'playing');
  const [left, right] = await hears(watch, 'video', [440, 880]);
  console.log(`left: ${left.map(Math.round)} dB, right: ${right.map(Math.round)} dB at 440, 880 Hz`);
  clean(publisher, watch);
  await watch.done();
  await publisher.done();
});

test('left and right, from the publish page with its stereo switch', async () => {
  // A stereo microphone that the page gets from getUserMedia like any other.
  const microphone = () => {
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const media = await real(wanted);
      const ctx = new AudioContext({ sampleRate: 48000 });
      const merger = ctx.createChannelMerger(2);
      const out = new MediaStreamAudioDestinationNode(ctx, { channelCount: 2, channelCountMode: 'explicit' });
      [660, 1320].forEach((frequency, channel) => {
        const tone = new OscillatorNode(ctx, { frequency });
        tone.connect(new GainNode(ctx, { gain: 0.5 })).connect(merger, 0, channel);
        tone.start();
      });
      merger.connect(out);
      for (const track of media.getAudioTracks()) {
        media.removeTrack(track);
        track.stop();
        media.addTrack(out.stream.getAudioTracks()[0]);
      }
      return media;
    };
  };
  const publish = await rig.open(`${weir.origin}/publish/music?codec=vp8&width=640&height=360&music=1&auto=1`, { name: 'audio-publish', init: microphone });
  const watch = await rig.open(`${weir.origin}/watch/music`, { name: 'audio-music' });
  await shows(watch, 'playing');
  await hears(watch, 'video', [660, 1320]);
  clean(publish, watch);
  await watch.done();
  await publish.done();
});
