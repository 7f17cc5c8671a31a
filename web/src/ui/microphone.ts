// The microphone's level beside the preview, so that silence is noticed before the audience does.

export class Microphone {
  private context: AudioContext | null = null;
  private source: MediaStreamAudioSourceNode | null = null;
  private analyser: AnalyserNode | null = null;
  private frame = 0;

  constructor(private readonly bar: HTMLElement) {}

  /** Shows the level of `track`; `null` for none. */
  listen(track: MediaStreamTrack | null): void {
    cancelAnimationFrame(this.frame);
    this.source?.disconnect();
    this.bar.style.setProperty("--level", "0");
    if (!track) return;
    this.context ??= new AudioContext();
    void this.context.resume().catch(() => undefined); // Without a click it stays still: only a meter.
    this.analyser ??= this.context.createAnalyser();
    this.analyser.fftSize = 1024;
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(this.analyser);
    this.step(this.analyser, new Float32Array(this.analyser.fftSize), 0);
  }

  private step(analyser: AnalyserNode, samples: Float32Array<ArrayBuffer>, before: number): void {
    analyser.getFloatTimeDomainData(samples);
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    // -60 dB to 0 dB over the length of the bar.
    const level = Math.max(before * 0.94, peak > 0 ? 1 + Math.max(-60, 20 * Math.log10(peak)) / 60 : 0);
    this.bar.style.setProperty("--level", level.toFixed(3));
    this.frame = requestAnimationFrame(() => this.step(analyser, samples, level));
  }
}
