// Where in the stream one is, if it can be seen again: a bar from the oldest to live, and the way back to live.

import * as format from "../format";
import type { Timeline } from "../player";
import { el, setText } from "./dom";

/** A shorter past is not worth a bar. */
const LEAST_S = 4;
/** One press of an arrow key. */
export const STEP_S = 5;

export interface TimelineActions {
  seek(second: number): void;
  goLive(): void;
}

export class TimelineBar {
  readonly bar = el("input", { type: "range", min: "0", step: "any", class: "timeline", "aria-label": "Position", hidden: "" });
  private readonly word = el("span");
  readonly live = el("button", { type: "button", class: "go-live", hidden: "" }, el("i", { "aria-hidden": "true" }), this.word);
  private shown: Timeline | null = null;
  private held = false;

  constructor(private readonly actions: TimelineActions) {
    this.live.addEventListener("click", () => actions.goLive());
    this.bar.addEventListener("pointerdown", () => (this.held = true));
    for (const end of ["pointerup", "pointercancel"]) this.bar.addEventListener(end, () => (this.held = false));
    this.bar.addEventListener("input", () => this.paint());
    this.bar.addEventListener("change", () => {
      this.held = false;
      if (this.shown) actions.seek(this.shown.start + Number(this.bar.value));
    });
  }

  /** `behindMs`: how far behind live the picture is. */
  update(line: Timeline | null, behindMs: number | null): void {
    this.shown = line;
    this.live.hidden = line === null;
    this.bar.hidden = line === null || line.live - line.start < LEAST_S;
    if (line === null) return;
    const behind = line.live - line.at;
    const away = !line.follows && behind > 1;
    this.live.dataset["away"] = String(away);
    setText(this.word, away ? `Go live, ${format.seconds(behind)} behind` : "Live");
    this.live.title = behindMs === null ? "" : `${format.seconds(behindMs / 1000)} after the server had it`;
    if (this.held) return;
    this.bar.max = String(line.live - line.start);
    this.bar.value = String(line.follows ? line.live - line.start : line.at - line.start);
    this.bar.setAttribute("aria-valuetext", away ? `${format.seconds(behind)} behind live` : "live");
    this.paint();
  }

  /** So many seconds on, or back. */
  step(seconds: number): void {
    if (this.shown) this.actions.seek(this.shown.at + seconds);
  }

  private paint(): void {
    const most = Number(this.bar.max);
    this.bar.style.setProperty("--filled", `${most > 0 ? (100 * Number(this.bar.value)) / most : 100}%`);
  }
}
