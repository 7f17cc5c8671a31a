// HLS by hls.js. The only file that imports it, and itself only imported when a stream is to come by HLS: what WebRTC
// viewers load has nothing of it.

/*! With hls.js (https://github.com/video-dev/hls.js), Apache License 2.0. */

import Hls, { ErrorTypes, Events, type ErrorData, type HlsConfig, type Level, type LoaderStats } from "hls.js";
import type { Layer } from "../events";
import { Problem } from "../problem";
import { timesOf } from "./clock";
import { codecName, withToken, type Engine, type Facts, type Start } from "./engine";
import { Rates } from "./rates";

/** Seconds of the future, for who has gone back in the window. */
const AHEAD_S = 12;
/** Parts without news, after which there are none. */
const OVERDUE = 2;
/** Times that the decoder is begun anew within that many ms. */
const RECOVERIES = 2;
const RECOVERY_MS = 15_000;

/** The next publisher may bring another codec. */
const CODEC_RETRY_MS = 10_000;

const retries = (most: number) => ({ maxNumRetry: most, retryDelayMs: 300, maxRetryDelayMs: 2000, backoff: "exponential" as const });
/** A request that hangs is asked again soon; one that fails a few times is for whoever began all this. */
const policy = (firstByteMs: number, allMs: number, most: number) => ({
  default: { maxTimeToFirstByteMs: firstByteMs, maxLoadTimeMs: allMs, timeoutRetry: retries(2), errorRetry: retries(most) },
});

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // How near to live comes from the playlist (PART-HOLD-BACK); how fast to play from `pace.ts`, which can do with the
  // fraction of a second that is buffered at that distance: hls.js does nothing with less than one.
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0,
  // The browser lets go of the past when it needs the room. hls.js 1.7.4 must not: when it does so while a part is appended, it
  // forgets that it has the segment's earlier parts, and plays nothing more until the playlist lists them no longer.
  backBufferLength: Infinity,
  maxBufferLength: AHEAD_S,
  maxMaxBufferLength: AHEAD_S,
  // Guessing low would begin with the smallest rendition and change in the first second.
  abrEwmaDefaultEstimate: 3e6,
  testBandwidth: false,
  // The first hole is the network's; waiting for more than that is a second lost.
  detectStallWithCurrentTimeMs: 600,
  highBufferWatchdogPeriod: 1,
  manifestLoadPolicy: policy(15_000, 20_000, 2),
  // A blocking reload answers when there is news, by 3 target durations at the latest.
  playlistLoadPolicy: policy(20_000, 25_000, 3),
  fragLoadPolicy: policy(8000, 20_000, 4),
  // As it came from a browser, without another coding in between.
  audioPreference: { audioCodec: "opus" },
  // There is nothing of these in the streams.
  enableWorker: false,
  enableInterstitialPlayback: false,
  enableDateRangeMetadataCues: false,
  enableEmsgMetadataCues: false,
  enableID3MetadataCues: false,
  enableWebVTT: false,
  enableIMSC1: false,
  enableCEA708Captions: false,
};

/** Whether this browser has what hls.js needs. */
export const supported = (): boolean => Hls.isSupported();

/** Begins at once. */
export function hlsjs(start: Start): Engine {
  return new HlsJs(start);
}

class HlsJs implements Engine {
  private readonly hls: Hls;
  private readonly rates = new Rates();
  private recoveries: number[] = [];
  /** Counts the discontinuities. */
  private era: number | null = null;

  constructor(private readonly start: Start) {
    const { video, url, token, events } = start;
    this.hls = new Hls(CONFIG);
    const { hls } = this;
    hls.on(Events.ERROR, (_, data) => this.failed(data));
    hls.on(Events.MANIFEST_PARSED, () => events.changed());
    hls.on(Events.LEVEL_SWITCHED, () => events.changed());
    hls.on(Events.FRAG_CHANGED, (_, { frag }) => {
      if (this.era !== null && frag.cc !== this.era) events.renewed();
      this.era = frag.cc;
    });
    hls.on(Events.LEVEL_LOADED, (_, { networkDetails, stats }) => this.hear(networkDetails, stats));
    hls.on(Events.FRAG_LOADED, (_, { networkDetails, frag, part }) => {
      const { stats, duration } = part ?? frag;
      this.hear(networkDetails, stats);
      this.rates.add(frag.type === "audio" ? "audio" : "video", stats.total || stats.loaded, duration);
    });
    video.srcObject = null;
    video.addEventListener("ended", this.ended);
    hls.loadSource(withToken(url, token));
    hls.attachMedia(video);
  }

  reach() {
    const details = this.hls.latestLevelDetails;
    const { targetLatency } = this.hls;
    if (!details || targetLatency === null || details.fragments.length === 0) return null;
    // Live goes on between two playlists, but not where the publisher has stopped.
    const since = details.live ? Math.min(details.age, OVERDUE * (details.partTarget || details.targetduration)) : 0;
    return { start: details.fragmentStart, end: details.edge + since, holdBack: targetLatency };
  }

  playingDate(): number | null {
    return this.hls.playingDate?.getTime() ?? null;
  }

  get layers(): Layer[] {
    const sized = this.choices().map(({ level, id }) => ({ id, width: level.width || null, height: level.height || null, active: true }));
    return sized.sort((a, b) => (b.height ?? 0) - (a.height ?? 0));
  }

  choose(layer: string | null): void {
    const index = this.choices().find(({ id }) => id === layer)?.index ?? -1;
    // Without a look back at what is buffered: a change is seen within the hold-back anyway.
    this.hls.nextLevel = index;
  }

  facts(): Facts {
    const { hls } = this;
    const level = this.level();
    const audio = hls.audioTracks[hls.audioTrack];
    const [videoBps, audioBps] = [this.rates.bps("video"), this.rates.bps("audio")];
    return {
      videoCodec: codecName(level?.videoCodec ?? ""),
      audioCodec: codecName(audio?.audioCodec ?? level?.audioCodec ?? ""),
      videoBps,
      audioBps,
    };
  }

  close(): void {
    this.start.video.removeEventListener("ended", this.ended);
    this.hls.destroy();
  }

  private readonly ended = () => this.start.events.ended();

  private level(): Level | undefined {
    const { hls } = this;
    return hls.levels[hls.currentLevel] ?? hls.levels[hls.loadLevel];
  }

  /** What differs in its picture; the same picture with another sound is no choice. */
  private choices(): { level: Level; index: number; id: string }[] {
    const { hls } = this;
    const set = this.level()?.codecSet;
    return hls.levels.flatMap((level, index) => (set === undefined || level.codecSet === set ? [{ level, index, id: nameOf(level) }] : []));
  }

  /** Takes the time from an answer. */
  private hear(details: unknown, { loading }: LoaderStats): void {
    const xhr = details instanceof XMLHttpRequest ? details : null;
    const times = xhr && timesOf((name) => xhr.getResponseHeader(name));
    if (times) this.start.clock.hear(times.date, times.age, loading.start, loading.first);
  }

  private failed({ fatal, type, details, response, error }: ErrorData): void {
    const { events } = this.start;
    if (!fatal) return;
    if (type === ErrorTypes.MEDIA_ERROR && this.mayRecover()) return this.hls.recoverMediaError();
    const problem = /codec/i.test(details)
      ? new Problem("This browser cannot play the stream", error.message, 0, CODEC_RETRY_MS)
      : new Problem("Playing by HLS has stopped", `${details}: ${error.message}`, response?.code ?? 0);
    events.lost(problem);
  }

  private mayRecover(): boolean {
    const now = performance.now();
    this.recoveries = this.recoveries.filter((at) => now - at < RECOVERY_MS);
    return this.recoveries.push(now) <= RECOVERIES;
  }
}

/** `v0` of `…/v0.m3u8`. */
function nameOf({ url }: Level): string {
  return /([^/]+)\.m3u8/.exec(url[0] ?? "")?.[1] ?? String(url[0] ?? "");
}
