// Which way the stream comes to this viewer: WebRTC first, LL-HLS where WebRTC cannot be, and back
// as soon as it can. A pure state machine: what happened and when goes in, what is to run comes out.
//
//   WebRTC is tried. Refused for want of room or codec, or without a media path: HLS begins at once;
//   without an answer from the network for a while: HLS begins beside it, and who shows a picture first
//   has the screen. While HLS plays, WebRTC is tried again in the background, each time later, and takes
//   over when its own first picture is there. What would stop HLS too (no token, no server) starts nothing.

import { backoff } from "./backoff";
import { NO_COMMON_CODEC, NO_MEDIA_PATH, type Problem } from "./problem";

export type Way = "webrtc" | "hls";
/** `auto`: WebRTC, else HLS. The others: that and nothing else. */
export type Via = "auto" | Way;

/** From the SDP answer to a connection, before HLS begins beside it. On a path that works it takes less than one second. */
export const PATIENCE_MS = 3500;
/** A connection that stands and shows nothing for so long, while HLS plays, is no better. */
export const EMPTY_MS = 8000;
/** Between tries to go back while HLS plays: doubled each time, from here … */
export const RETURN_MS = 8000;
/** … up to here. */
export const RETURN_MOST_MS = 120_000;
/** WebRTC that has played for so long works: the next failure begins with short waits again. */
export const SETTLED_MS = 60_000;

/** Why WebRTC does not play, as far as it matters for what comes next. */
export type Reason =
  /** No UDP, or no WebRTC in this browser. */
  | "blocked"
  /** The server takes no more viewers. */
  | "full"
  /** The stream's codec is not in what this browser takes by WebRTC. */
  | "codec"
  /** The server refuses the address. */
  | "refused"
  /** It was there and is gone, or the server is not reached at all: HLS would fare no better. */
  | "lost"
  | "denied";

/** What a problem of the WebRTC session means here. */
export function reasonOf(problem: Problem): Reason {
  if (problem.denied) return "denied";
  if (problem.type === NO_MEDIA_PATH) return "blocked";
  if (problem.type === NO_COMMON_CODEC) return "codec";
  if (problem.status === 503 || problem.status === 429) return "full";
  return problem.temporary ? "lost" : "refused";
}

type WebRtc =
  /** Tried again at `until`; `Infinity`: not by itself. */
  | { is: "resting"; until: number }
  | { is: "trying"; answeredAt: number }
  | { is: "up"; since: number; playsSince: number };

/** - `idle`: nothing there to play now; it looks again by itself */
export type HlsState = "off" | "trying" | "idle" | "playing" | "failed";

/** What is to run, and who has the screen. */
export interface Plan {
  webrtc: boolean;
  hls: boolean;
  show: Way;
  /** When to ask again at the latest, `Infinity`: when something happens. */
  wakeAt: number;
}

export class Chooser {
  private webrtc: WebRtc = { is: "resting", until: Infinity };
  private hls: HlsState = "off";
  private reason: Reason | null = null;
  private attempt = 0;
  private returns = 0;
  private readonly can: { webrtc: boolean; hls: boolean };

  /** `able`: what this browser and this address have at all. */
  constructor(via: Via, able: { webrtc: boolean; hls: boolean }) {
    this.can = { webrtc: able.webrtc && via !== "hls", hls: able.hls && via !== "webrtc" };
  }

  begin(): void {
    this.hls = "off";
    this.attempt = 0;
    this.returns = 0;
    this.reason = this.can.webrtc ? null : "blocked";
    this.webrtc = this.can.webrtc ? trying() : { is: "resting", until: Infinity };
  }

  /** The server has answered the offer; from now on it is the network's turn. */
  answered(now: number): void {
    if (this.webrtc.is === "trying") this.webrtc.answeredAt = now;
  }

  /** A new session in place of the one that was. */
  moved(): void {
    this.webrtc = trying();
  }

  up(now: number): void {
    if (this.webrtc.is !== "up") this.webrtc = { is: "up", since: now, playsSince: Infinity };
    // Without HLS on the screen it has the stream, whether or not somebody publishes.
    if (this.hls !== "playing") this.works();
  }

  /** Whether pictures or sound come by WebRTC. */
  flows(now: number, on: boolean): void {
    if (this.webrtc.is !== "up") return;
    if (!on) this.webrtc.playsSince = Infinity;
    else if (this.webrtc.playsSince === Infinity) this.webrtc.playsSince = now;
    if (on) this.works();
    if (now - this.webrtc.playsSince >= SETTLED_MS) this.returns = 0;
  }

  /** The session failed or ended; `random` is in 0..1. */
  lost(now: number, problem: Problem, random: number): void {
    if (!this.can.webrtc) return;
    const reason = reasonOf(problem);
    const playing = this.hls === "playing";
    // What comes of a try in the background stops nothing that plays or is about to, except by the server's word.
    if (helps(reason) || !(playing || (helps(this.reason) && reason === "lost"))) this.reason = reason;
    else this.reason ??= "blocked";
    if (reason === "denied" || reason === "refused") {
      this.webrtc = { is: "resting", until: Infinity };
      return;
    }
    const wait = playing ? this.later(random) : backoff(this.attempt++, random);
    this.webrtc = { is: "resting", until: now + Math.max(wait, problem.retryAfterMs) };
  }

  hlsIs(now: number, state: HlsState, random: number): void {
    const began = state === "playing" && this.hls !== "playing";
    this.hls = state;
    // Nobody waits for WebRTC any more: there is time.
    if (began && this.webrtc.is === "resting" && this.webrtc.until !== Infinity) {
      this.webrtc.until = Math.max(this.webrtc.until, now + this.later(random));
    }
  }

  /** The network has changed: what did not work may work now. */
  changed(now: number): void {
    if (this.webrtc.is === "resting" && this.webrtc.until !== Infinity) this.webrtc.until = now;
    this.returns = 0;
  }

  /** When WebRTC is tried again by itself, or `null`. */
  get dueAt(): number | null {
    return this.webrtc.is === "resting" && this.webrtc.until !== Infinity ? this.webrtc.until : null;
  }

  /** Why it comes, or is to come, by HLS; `null`: it does not. */
  get because(): Reason | null {
    return this.reason;
  }

  plan(now: number): Plan {
    this.passTime(now);
    const { webrtc } = this;
    const hls = this.can.hls && this.wantsHls(now);
    const show = hls && (this.hls === "playing" || !this.can.webrtc) ? "hls" : "webrtc";
    return { webrtc: webrtc.is !== "resting", hls, show, wakeAt: this.wakeAt(now) };
  }

  private passTime(now: number): void {
    const { webrtc } = this;
    if (webrtc.is === "resting" && now >= webrtc.until) this.webrtc = trying();
    if (webrtc.is === "up" && this.returning(webrtc) && now - webrtc.since >= EMPTY_MS) {
      this.webrtc = { is: "resting", until: now + this.later(0) };
    }
  }

  private wantsHls(now: number): boolean {
    const { webrtc, reason } = this;
    switch (webrtc.is) {
      case "up":
        return this.returning(webrtc);
      case "trying":
        return helps(reason) || now - webrtc.answeredAt >= PATIENCE_MS;
      case "resting":
        return helps(reason);
    }
  }

  /** It is there, and its first picture is awaited while HLS plays. */
  private returning(webrtc: WebRtc): boolean {
    return webrtc.is === "up" && webrtc.playsSince === Infinity && this.hls === "playing";
  }

  private wakeAt(now: number): number {
    const { webrtc } = this;
    const at =
      webrtc.is === "resting" ? webrtc.until
      : webrtc.is === "trying" ? webrtc.answeredAt + PATIENCE_MS
      : this.returning(webrtc) ? webrtc.since + EMPTY_MS
      : Infinity;
    return at > now ? at : Infinity;
  }

  private works(): void {
    this.reason = this.can.webrtc ? null : this.reason;
    this.attempt = 0;
  }

  private later(random: number): number {
    const wait = Math.min(RETURN_MS * 2 ** this.returns, RETURN_MOST_MS);
    this.returns = Math.min(this.returns + 1, 8);
    return Math.round(wait * (1 + random / 4));
  }
}

function trying(): WebRtc {
  return { is: "trying", answeredAt: Infinity };
}

/** Whether HLS may work where WebRTC does not, for this reason. */
function helps(reason: Reason | null): boolean {
  return reason === "blocked" || reason === "full" || reason === "codec" || reason === "refused";
}
