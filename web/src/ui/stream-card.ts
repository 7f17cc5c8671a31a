// One stream on the home page.

import { sourceEncodings, viewerCount, type Bridge, type Stream, type StreamState } from "../api";
import * as format from "../format";
import { el, setText } from "./dom";

/** What a state means to somebody who looks at a list. */
export const STATE: Record<StreamState, string> = {
  idle: "waiting for a publisher",
  starting: "starting",
  live: "live",
  interrupted: "interrupted",
  ended: "ended",
  failed: "failed",
};

/** The facts of a stream as label and value. */
export function facts(stream: Stream, now: number): [string, string][] {
  const video = stream.tracks.find((track) => track.kind === "video");
  const audio = stream.tracks.find((track) => track.kind === "audio");
  const encodings = sourceEncodings(stream);
  const best = encodings.find((encoding) => encoding.active) ?? encodings[0];
  const all: [string, string][] = [];
  if (video && best) {
    const picture = [format.codec(video.codec), format.size(best.width, best.height), best.fps > 0 ? format.fps(best.fps) : ""];
    all.push(["Picture", picture.filter(Boolean).join(" ")]);
    if (encodings.length > 1) {
      const active = encodings.filter((encoding) => encoding.active).length;
      all.push(["Layers", active === encodings.length ? String(active) : `${active} of ${encodings.length} arrive`]);
    }
  }
  if (audio?.kind === "audio") {
    all.push(["Sound", `${format.codec(audio.codec)} ${audio.channels === 2 ? "stereo" : "mono"}`]);
  }
  for (const bridge of stream.bridges ?? []) all.push(["Bridge", bridgeWords(bridge)]);
  if (stream.publisher) {
    all.push(["In", format.bitrate(totalBitrate(stream))]);
    const seconds = (now - Date.parse(stream.publisher.since)) / 1000;
    if (Number.isFinite(seconds)) all.push(["Since", format.duration(seconds)]);
  }
  return all;
}

/** Which codec becomes which, and why: `AAC → Opus (WHEP viewers)`. */
export function bridgeWords(bridge: Bridge): string {
  const why = bridge.why.replace(/\b(whep|rtmp|b(?=-frames))/g, (word) => word.toUpperCase());
  const codecs = `${format.codec(bridge.from)} → ${format.codec(bridge.to)}`;
  const running = bridge.state === undefined || bridge.state === "running" ? "" : `, ${bridge.state}`;
  return `${codecs} (${why}${running})`;
}

/** What comes in, pictures and sound. */
export function totalBitrate(stream: Stream): number {
  const sound = stream.tracks.reduce((sum, track) => sum + (track.kind === "audio" ? (track.bitrate_bps ?? 0) : 0), 0);
  return sourceEncodings(stream).reduce((sum, encoding) => sum + encoding.bitrate_bps, sound);
}

/** A card that is updated in place, so that focus and selection survive the polling. */
export class StreamCard {
  readonly root = el("li", { class: "card" });
  private readonly state = el("span", { class: "pill" });
  private readonly list = el("dl", { class: "facts" });
  private readonly viewers = el("span", { class: "viewers" });
  private readonly warnings = el("ul", { class: "warnings" });
  private shown = "";

  constructor(name: string) {
    const path = encodeURIComponent(name);
    const title = el("h3", {}, el("a", { href: `/watch/${path}`, title: name }, name));
    const actions = el(
      "p",
      { class: "card-end" },
      this.viewers,
      el("a", { class: "button small", href: `/watch/${path}`, "aria-label": `Watch ${name}` }, "Watch"),
    );
    this.root.append(el("div", { class: "card-head" }, title, this.state), this.list, this.warnings, actions);
  }

  update(stream: Stream, now: number): void {
    setText(this.state, STATE[stream.state] ?? stream.state);
    this.state.dataset["state"] = stream.state;
    this.root.dataset["state"] = stream.state;
    setText(this.viewers, format.count(viewerCount(stream), "viewer"));
    const all = facts(stream, now);
    const key = JSON.stringify([all, stream.warnings]);
    if (key === this.shown) return;
    this.shown = key;
    this.list.replaceChildren(...all.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
    this.warnings.replaceChildren(...stream.warnings.map((warning) => el("li", {}, warning.text)));
    this.warnings.hidden = stream.warnings.length === 0;
  }
}
