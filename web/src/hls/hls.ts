// The stream by LL-HLS: looks whether it is there, plays it on the media element by hls.js or by the browser
// itself, keeps it near to live, and looks again when it has ended or broke.

import type { Layer } from "../events";
import type { Media } from "../flow";
import { Problem, problemOf, toProblem, unreachable } from "../problem";
import type { ViewerStats } from "../stats";
import type { HlsState } from "../way";
import { ServerClock, timesOf } from "./clock";
import { withToken, type Engine, type Start } from "./engine";
import { loadHlsJs } from "./load";
import { native, playsHls } from "./native";
import { Pace } from "./pace";

const LOOK_MS = 250;
/** Between two looks whether it is there. */
const WAITS_MS = [500, 1000, 2000, 3000];
/** Playing has stood still for so long: the publisher is away. */
const STILL_MS = 3000;
/** … and does not come back: begun anew. */
const GIVE_UP_MS = 20_000;
/** From the playlist to the first picture. */
const FIRST_MS = 15_000;
/** From the first picture on, jumps disturb nobody for so long. */
const FRESH_MS = 2500;
/** Nearer than that to where live is, in seconds, is live. */
const LIVE_S = 3;

const ended = () => new Problem("The stream has ended", "", 404, 0, "urn:weir:problem:ended");

/** The part of the stream that can be seen, in seconds of the media element. */
export interface Timeline {
  start: number;
  /** Where live is. */
  live: number;
  at: number;
  /** It keeps to live by itself. */
  follows: boolean;
}

export class Hls {
  state: HlsState = "off";
  problem: Problem | null = null;
  /** It has played, or a Weir says that nobody publishes; another server's 404 says only that it has no HLS. */
  known = false;
  media: Media = "nothing";
  /** It runs dry at this moment. */
  shaky = false;
  numbers: ViewerStats | null = null;
  layer: string | null = null;

  private engine: Engine | null = null;
  private life = new AbortController();
  private clock = new ServerClock();
  private pace = new Pace();
  private timer = 0;
  private looks = 0;
  private tries = 0;
  /** Which life of the stream this is, as its playlists are named, and which one has ended. */
  private epoch = "";
  private over = "";
  private follows = true;
  private startedAt = 0;
  private playsSince = Infinity;
  private moved = { to: 0, at: 0 };
  private stalls = 0;
  private frames = { total: 0, at: 0, fps: 0 };
  private readonly rested = () => {
    // What the page holds is held; what it lets go on goes on live, unless somebody has gone back in the window.
    if (this.follows && this.engine) this.goLive();
  };
  private readonly ranDry = () => {
    // Who jumps waits too.
    if (this.state !== "playing" || this.video.seeking) return;
    this.stalls += 1;
    if (this.follows) this.pace.stalled(performance.now());
  };

  constructor(
    private readonly video: HTMLVideoElement,
    /** Before the element gets another source. */
    private readonly taking: () => void,
    /** Any of the fields above is another. */
    private readonly changed: () => void,
  ) {}

  get layers(): Layer[] {
    return this.engine?.layers ?? [];
  }

  get isOn(): boolean {
    return this.state !== "off";
  }

  start(url: string, token: string | null): void {
    this.stop();
    this.life = new AbortController();
    this.tries = 0;
    this.become("trying");
    void this.seek(url, token);
  }

  stop(): void {
    this.life.abort();
    clearTimeout(this.timer);
    this.leave();
    this.state = "off";
    this.problem = null;
    this.known = false;
    this.follows = true;
    this.layer = null;
  }

  choose(layer: string | null): void {
    this.layer = layer;
    this.engine?.choose(layer);
    this.changed();
  }

  timeline(): Timeline | null {
    const reach = this.engine?.reach();
    if (!reach || this.state === "trying") return null;
    const live = Math.max(reach.start, reach.end - reach.holdBack);
    return { start: Math.min(reach.start, live), live, at: this.video.currentTime, follows: this.follows };
  }

  /** To this second of `timeline`. */
  to(second: number): void {
    const line = this.timeline();
    if (!line) return;
    if (second >= line.live - 0.5) return this.goLive();
    this.follows = false;
    this.video.playbackRate = 1;
    this.video.currentTime = Math.max(second, line.start);
    this.changed();
  }

  goLive(): void {
    const line = this.timeline();
    this.follows = true;
    if (line && Math.abs(line.live - line.at) > LIVE_S / 2) this.video.currentTime = line.live;
    this.changed();
  }

  /** Whether the stream is there; then it is played. */
  private async seek(url: string, token: string | null): Promise<void> {
    const { signal } = this.life;
    try {
      const asked = performance.now();
      const response = await fetch(withToken(url, token), { signal, cache: "no-store" }).catch((error: unknown) => {
        throw signal.aborted ? error : unreachable();
      });
      const times = timesOf((name) => response.headers.get(name));
      if (times) this.clock.hear(times.date, times.age, asked, performance.now());
      if (!response.ok) throw await problemOf(response);
      const text = await response.text();
      if (!text.startsWith("#EXTM3U")) throw new Problem("No playlist", "There is something else at its address.", 404);
      // What has ended stays for a while; nobody wants its last second again and again.
      this.epoch = text.split("\n").find((line) => line !== "" && !line.startsWith("#")) ?? "";
      if (this.epoch === this.over) throw ended();
      const begin = await engineOf(this.video);
      if (!signal.aborted) this.begin(begin, url, token);
    } catch (error) {
      if (!signal.aborted) this.again(url, token, toProblem(error));
    }
  }

  private begin(begin: (start: Start) => Engine, url: string, token: string | null): void {
    const now = performance.now();
    this.taking();
    this.startedAt = now;
    this.playsSince = Infinity;
    this.moved = { to: -1, at: now };
    this.frames = { total: 0, at: now, fps: 0 };
    this.stalls = 0;
    const mine = (act: () => void) => () => engine === this.engine && act();
    const engine: Engine = begin({
      video: this.video,
      url,
      token,
      clock: this.clock,
      events: {
        lost: (problem) => engine === this.engine && this.again(url, token, problem),
        ended: mine(() => {
          this.over = this.epoch;
          this.again(url, token, ended());
        }),
        renewed: mine(() => this.beginsAnew()),
        changed: mine(() => this.changed()),
      },
    });
    this.engine = engine;
    if (this.layer !== null) engine.choose(this.layer);
    this.video.addEventListener("play", this.rested);
    this.video.addEventListener("waiting", this.ranDry);
    this.looks = window.setInterval(() => this.look(url, token), LOOK_MS);
    this.changed();
  }

  /** It did not work, or does not any more: what is said of it, and when it is looked for again. */
  private again(url: string, token: string | null, problem: Problem): void {
    this.leave();
    this.problem = problem;
    this.known ||= problem.type.startsWith("urn:weir:problem:");
    const gone = problem.temporary || problem.status === 404 || problem.status === 409 || problem.status === 410;
    if (!gone) return this.become("failed");
    const wait = WAITS_MS[Math.min(this.tries++, WAITS_MS.length - 1)] as number;
    this.timer = window.setTimeout(() => void this.seek(url, token), Math.max(wait, problem.retryAfterMs) * (1 + Math.random() / 4));
    this.become("idle");
  }

  private look(url: string, token: string | null): void {
    const { video } = this;
    const now = performance.now();
    const before = this.state;
    if (video.paused && this.state === "playing") this.moved.at = now;
    if (video.currentTime !== this.moved.to && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
      this.moved = { to: video.currentTime, at: now };
      this.plays();
    }
    const still = now - this.moved.at;
    this.shaky = this.state === "playing" && still > 4 * LOOK_MS;
    if (this.state === "playing" && still > STILL_MS) {
      this.media = "nothing";
      this.state = "idle";
    }
    const begun = this.state !== "trying" || now - this.startedAt < FIRST_MS;
    if (!begun || (this.state === "idle" && still > GIVE_UP_MS)) {
      return this.again(url, token, new Problem("Nothing comes by HLS", "The playlist is there, but no picture.", 404));
    }
    this.keepPace(now);
    this.numbers = this.read(now);
    if (this.state !== before) this.become(this.state);
    else this.changed();
  }

  private plays(): void {
    if (this.playsSince === Infinity || this.state === "idle") this.beginsAnew();
    this.state = "playing";
    this.known = true;
    this.media = this.video.videoWidth > 0 ? "video" : "audio";
    this.problem = null;
    this.tries = 0;
  }

  /** What was late until now says nothing of what comes. */
  private beginsAnew(): void {
    this.pace = new Pace();
    this.playsSince = performance.now();
  }

  private keepPace(now: number): void {
    const { video } = this;
    const reach = this.engine?.reach();
    if (!reach || !this.follows || video.paused || this.state !== "playing") return;
    const place = { behind: reach.end - video.currentTime, target: reach.holdBack, ahead: this.ahead(), fresh: now - this.playsSince < FRESH_MS };
    const rate = this.pace.rate(now, place);
    if (rate !== "jump") {
      if (video.playbackRate !== rate) video.playbackRate = rate;
      return;
    }
    video.playbackRate = 1;
    video.currentTime = reach.end - this.pace.aim(now, reach.holdBack);
  }

  private ahead(): number {
    const { buffered, currentTime } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  private read(now: number): ViewerStats | null {
    const { engine, video, frames } = this;
    const reach = engine?.reach();
    if (!engine || this.state === "trying") return null;
    const quality = video.getVideoPlaybackQuality?.();
    const total = quality?.totalVideoFrames ?? 0;
    if (now - frames.at >= 1000) {
      const fps = (1000 * Math.max(0, total - frames.total)) / (now - frames.at);
      this.frames = { total, at: now, fps };
    }
    const facts = engine.facts();
    const made = engine.playingDate();
    const time = this.clock.at(now);
    const none = { packets: 0, lost: 0, jitterBufferMs: null };
    return {
      rttMs: null,
      video: video.videoWidth > 0 ? {
        ...none, codec: facts.videoCodec, width: video.videoWidth, height: video.videoHeight, fps: this.frames.fps, bitrateBps: facts.videoBps,
        framesDecoded: total, framesDropped: quality?.droppedVideoFrames ?? 0, keyFrames: 0, freezes: this.stalls, freezeSeconds: 0,
        retransmitted: 0, nacks: 0, plis: 0, decoder: "",
      } : null,
      audio: facts.audioCodec ? { ...none, codec: facts.audioCodec, channels: 0, bitrateBps: facts.audioBps, level: 0 } : null,
      hls: {
        latencyMs: made === null || time === null ? null : Math.max(0, time - made),
        targetMs: reach ? 1000 * reach.holdBack : null,
        bufferMs: 1000 * this.ahead(),
        rate: video.playbackRate,
        stalls: this.stalls,
      },
    };
  }

  /** Gives the media element back. */
  private leave(): void {
    clearInterval(this.looks);
    this.video.removeEventListener("play", this.rested);
    this.video.removeEventListener("waiting", this.ranDry);
    if (this.engine) {
      this.taking();
      this.engine.close();
      this.video.playbackRate = 1;
    }
    this.engine = null;
    this.media = "nothing";
    this.shaky = false;
    this.numbers = null;
  }

  private become(state: HlsState): void {
    this.state = state;
    this.changed();
  }
}

async function engineOf(video: HTMLVideoElement): Promise<(start: Start) => Engine> {
  if ("MediaSource" in window || "ManagedMediaSource" in window) {
    const { hlsjs, supported } = await loadHlsJs();
    if (supported()) return hlsjs;
  }
  if (playsHls(video)) return native;
  throw new Problem("This browser cannot play HLS", "It has neither Media Source Extensions nor HLS of its own.", 406);
}
