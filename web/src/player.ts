// The player behind <weir-player>: one stream on one media element, by WebRTC or by LL-HLS as `way.ts` decides,
// and what can be said of it. It comes back by itself when the connection is lost.

import type { Layer } from "./events";
import type { Media } from "./flow";
import { Hls, type Timeline } from "./hls/hls";
import type { Problem } from "./problem";
import type { ViewerStats } from "./stats";
import { Chooser, type Plan, type Via, type Way } from "./way";
import { WebRtc } from "./webrtc";
import type { WhepClient } from "./whep";

export type { Timeline };

export type PlayerState =
  /** Negotiating, for the first time. */
  | "connecting"
  /** Connected; no media. */
  | "waiting"
  | "playing"
  /** Lost; tries again at `retryAt`. `problem` says why. */
  | "reconnecting"
  /** Trying again would not help. `problem` says why. */
  | "failed"
  | "stopped";

/** Where the stream is. */
export interface Source {
  /** WHEP address. */
  endpoint: string;
  /** Its LL-HLS address, `null`: there is none. */
  hls: string | null;
}

export class Player {
  state: PlayerState = "stopped";
  /** Why it is `reconnecting` or `failed`. */
  problem: Problem | null = null;
  /** Why it does not come by WebRTC, while it comes by HLS. */
  detour: Problem | null = null;
  /** What to try. Takes effect with the next `start`. */
  via: Via = "auto";
  /** Before the media element gets another source. */
  taking: () => void = () => {};

  private chooser = new Chooser("auto", { webrtc: true, hls: false });
  private readonly webrtc: WebRtc;
  private readonly hls: Hls;
  private lastProblem: Problem | null = null;
  private running = false;
  private timer = 0;
  private settling = false;
  private told: Plan = { webrtc: false, hls: false, show: "webrtc", wakeAt: Infinity };

  constructor(
    video: HTMLVideoElement,
    public source: Source,
    /** Sent as Bearer, and to HLS by `?token=`. */
    public token: string | null,
    /** Called after any change of what can be read here. */
    private readonly changed: () => void,
  ) {
    this.webrtc = new WebRtc(video, {
      answered: () => this.step(() => this.chooser.answered(performance.now())),
      moved: () => this.step(() => this.chooser.moved()),
      up: () => this.step(() => this.chooser.up(performance.now())),
      lost: (problem) => this.step(() => this.isLost(problem)),
      changed: () => this.step(() => this.chooser.flows(performance.now(), flows(this.webrtc.media))),
    });
    this.hls = new Hls(
      video,
      () => this.taking(),
      () => this.step(() => this.chooser.hlsIs(performance.now(), this.hls.state, Math.random())),
    );
  }

  /** By which way what is on the screen comes, or would. */
  get way(): Way {
    return this.told.show;
  }

  get media(): Media {
    return this.way === "hls" ? this.hls.media : this.webrtc.media;
  }

  /** It stutters at this moment. */
  get shaky(): boolean {
    return this.way === "hls" ? this.hls.shaky : this.webrtc.shaky;
  }

  /** The last reading. */
  get numbers(): ViewerStats | null {
    return this.way === "hls" ? this.hls.numbers : this.webrtc.numbers;
  }

  get client(): WhepClient | null {
    return this.webrtc.client;
  }

  get pc(): RTCPeerConnection | null {
    return this.webrtc.client?.pc ?? null;
  }

  /** What the server says of the publisher; `null`: it says nothing. */
  get publisher(): "there" | "gone" | null {
    return this.webrtc.publisher;
  }

  /** What can be asked for, best first, as far as it is known here; `null`: it is not. */
  get layers(): Layer[] | null {
    return this.way === "hls" ? this.hls.layers : this.webrtc.layers;
  }

  /** The layer asked for; `null`: the highest, or by HLS whatever the network carries. */
  get layer(): string | null {
    return this.way === "hls" ? this.hls.layer : this.webrtc.layer;
  }

  /** To begin with. */
  set layer(layer: string | null) {
    this.webrtc.layer = layer;
  }

  /** True if a layer can be asked for. */
  get canChoose(): boolean {
    return this.way === "hls" || (this.client?.canChooseLayer ?? false);
  }

  /** How many watch, as the server says. */
  get viewers(): number | null {
    return this.webrtc.viewers;
  }

  /** What of the stream can be seen; `null`: it is live and nothing else. */
  get timeline(): Timeline | null {
    return this.way === "hls" ? this.hls.timeline() : null;
  }

  /** When WebRTC is tried again (`performance.now()`), or `null`. */
  get retryAt(): number | null {
    return this.state === "playing" ? null : this.chooser.dueAt;
  }

  /** The same while HLS plays instead of it. */
  get returnsAt(): number | null {
    return this.way === "hls" && this.via === "auto" ? this.chooser.dueAt : null;
  }

  /** Starts, or starts again at once. */
  start(): void {
    this.halt();
    this.running = true;
    const webrtc = "RTCPeerConnection" in window;
    this.chooser = new Chooser(this.via, { webrtc, hls: this.source.hls !== null });
    this.chooser.begin();
    window.addEventListener("online", this.online);
    this.step(() => {});
  }

  stop(): void {
    this.halt();
    this.changed();
  }

  /** Asks for a layer by its id; by WebRTC in every later session too. `null`: see `layer`. Throws a `Problem`. */
  async choose(layer: string | null): Promise<void> {
    if (this.way === "hls") this.hls.choose(layer);
    else await this.webrtc.choose(layer);
  }

  /** A fresh reading of the numbers. */
  async stats(): Promise<ViewerStats | null> {
    return this.way === "hls" ? this.hls.numbers : this.webrtc.stats();
  }

  /** To this second of `timeline`. */
  seek(second: number): void {
    if (this.way === "hls") this.hls.to(second);
  }

  goLive(): void {
    if (this.way === "hls") this.hls.goLive();
  }

  private readonly online = () => this.step(() => this.chooser.changed(performance.now()));

  private isLost(problem: Problem): void {
    this.lastProblem = problem;
    this.chooser.lost(performance.now(), problem, Math.random());
  }

  private halt(): void {
    this.running = false;
    clearTimeout(this.timer);
    window.removeEventListener("online", this.online);
    this.webrtc.close();
    this.hls.stop();
    this.lastProblem = null;
    this.problem = null;
    this.detour = null;
    this.state = "stopped";
  }

  /** Something has happened: lets it be known, runs what is to run, and says what has become of it. */
  private step(happens: () => void): void {
    if (!this.running) return;
    happens();
    // What is started or stopped below tells of itself in between.
    if (this.settling) return;
    this.settling = true;
    this.told = this.follow(this.chooser.plan(performance.now()));
    this.settling = false;
    clearTimeout(this.timer);
    const { wakeAt } = this.told;
    if (wakeAt !== Infinity) this.timer = window.setTimeout(() => this.step(() => {}), Math.max(0, wakeAt - performance.now()) + 1);
    if (this.webrtc.isUp && !this.hls.isOn) this.lastProblem = null;
    [this.state, this.problem] = this.now();
    this.detour = this.way === "hls" ? this.lastProblem : null;
    this.changed();
  }

  private follow(plan: Plan): Plan {
    const { webrtc, hls } = this;
    if (plan.hls && !hls.isOn && this.source.hls !== null) {
      webrtc.hide();
      hls.start(this.source.hls, this.token);
    } else if (!plan.hls && hls.isOn) {
      // Its last picture stays until WebRTC's first is there.
      hls.stop();
      this.chooser.hlsIs(performance.now(), "off", 0);
    }
    if (!plan.webrtc && webrtc.client) webrtc.close();
    if (plan.webrtc && !webrtc.client) void webrtc.connect(this.source.endpoint, this.token);
    if (!hls.isOn) webrtc.show();
    return plan;
  }

  private now(): [PlayerState, Problem | null] {
    const { hls, webrtc, chooser } = this;
    if (hls.state === "playing") return ["playing", null];
    if (webrtc.isUp) return [flows(webrtc.media) ? "playing" : "waiting", null];
    const pure = this.via === "hls" || !("RTCPeerConnection" in window);
    const problem = pure ? hls.problem : this.lastProblem;
    if (hls.isOn && chooser.because !== null) {
      if (hls.state === "trying") return ["connecting", problem];
      if (hls.state === "idle" && hls.known) return ["waiting", null];
      if (pure) return [hls.state === "failed" ? "failed" : "reconnecting", problem];
    }
    if (webrtc.client !== null && problem === null) return ["connecting", null];
    return [chooser.dueAt === null && webrtc.client === null ? "failed" : "reconnecting", problem];
  }
}

function flows(media: Media): boolean {
  return media === "video" || media === "audio";
}
