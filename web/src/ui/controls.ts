// The player's control bar and its keys: position, sound, layer, statistics, picture in picture, full screen.

import { el } from "./dom";
import { icon, type IconName } from "./icons";
import { STEP_S, TimelineBar, type TimelineActions } from "./timeline";

export interface ControlActions extends TimelineActions {
  statistics(): boolean;
  /** Plays if it is paused, else pauses. */
  toggle(): void;
}

/** How long the bar stays after the last movement. */
const LINGER_MS = 2500;

export class Controls {
  readonly bar = el("div", { class: "controls", role: "toolbar", "aria-label": "Controls" });
  readonly timeline: TimelineBar;
  readonly layerBox = el("label", { class: "layer-box" }, icon("layers"));
  private readonly mute = this.button("muted", "Turn sound on (m)", () => this.toggleMute());
  private readonly volume = el("input", { type: "range", min: "0", max: "1", step: "0.05", class: "volume", "aria-label": "Volume" });
  private readonly stats = this.button("stats", "Statistics (s)", () => this.toggleStats());
  private readonly pip = this.button("pip", "Picture in picture (p)", () => void this.togglePip());
  private readonly full = this.button("full", "Full screen (f)", () => void this.toggleFull());
  /** False hides the bar and turns the keys off. */
  enabled = true;
  private linger = 0;

  constructor(
    private readonly stage: HTMLElement,
    private readonly video: HTMLVideoElement,
    private readonly actions: ControlActions,
    /** Whose keys are ours. */
    keys: EventTarget,
    signal: AbortSignal,
  ) {
    this.timeline = new TimelineBar(actions);
    this.pip.hidden = !document.pictureInPictureEnabled;
    const { bar: position, live } = this.timeline;
    this.bar.append(position, this.mute, this.volume, live, el("span", { class: "spacer" }), this.layerBox, this.stats, this.pip, this.full);
    this.volume.addEventListener("input", () => this.setVolume(Number(this.volume.value)));
    video.addEventListener("volumechange", () => this.showSound(), { signal });
    document.addEventListener("fullscreenchange", () => this.showFull(), { signal });
    keys.addEventListener("keydown", (event) => this.key(event as KeyboardEvent), { signal });
    stage.addEventListener("pointermove", () => this.wake());
    stage.addEventListener("pointerdown", () => this.wake());
    stage.addEventListener("focusin", () => this.wake());
    stage.addEventListener("pointerleave", () => stage.classList.remove("awake"));
    video.addEventListener("dblclick", () => void this.toggleFull(), { signal });
    this.showSound();
    this.wake();
  }

  toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) this.video.volume = 1;
  }

  private button(name: IconName, label: string, act: () => void): HTMLButtonElement {
    const button = el("button", { type: "button", class: "control", "aria-label": label, title: label }, icon(name));
    button.addEventListener("click", act);
    return button;
  }

  private relabel(button: HTMLButtonElement, name: IconName, label: string): void {
    button.replaceChildren(icon(name));
    button.title = label;
    button.setAttribute("aria-label", label);
  }

  private setVolume(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.video.muted = this.video.volume === 0;
  }

  private showSound(): void {
    const { muted, volume } = this.video;
    this.volume.value = String(muted ? 0 : volume);
    this.volume.style.setProperty("--filled", `${(muted ? 0 : volume) * 100}%`);
    if (muted) this.relabel(this.mute, "muted", "Turn sound on (m)");
    else this.relabel(this.mute, "sound", "Turn sound off (m)");
  }

  private toggleStats(): void {
    const shown = this.actions.statistics();
    this.stats.setAttribute("aria-pressed", String(shown));
  }

  private async togglePip(): Promise<void> {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      // No picture yet, or the browser refuses: nothing to say that it does not say itself.
    }
  }

  private async toggleFull(): Promise<void> {
    const video = this.video as HTMLVideoElement & { webkitEnterFullscreen?: () => void };
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await this.stage.requestFullscreen();
      else video.webkitEnterFullscreen?.(); // iPhone: only the video itself.
    } catch {
      // An iframe without allow="fullscreen".
    }
  }

  private showFull(): void {
    if (document.fullscreenElement) this.relabel(this.full, "unfull", "Leave full screen (f)");
    else this.relabel(this.full, "full", "Full screen (f)");
  }

  private key(event: KeyboardEvent): void {
    // The element itself, also where a shadow tree hides it.
    const target = event.composedPath()[0];
    if (!this.enabled || !(target instanceof Element) || target.closest("input, select, textarea")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Space on a button is that button's.
    if (event.key === " " && target.closest("button, a, summary")) return;
    const { video } = this;
    const act: Record<string, () => void> = {
      m: () => this.toggleMute(),
      f: () => void this.toggleFull(),
      p: () => void this.togglePip(),
      s: () => this.toggleStats(),
      " ": () => this.actions.toggle(),
      ArrowUp: () => this.setVolume((video.muted ? 0 : video.volume) + 0.1),
      l: () => this.actions.goLive(),
      ArrowLeft: () => this.timeline.step(-STEP_S),
      ArrowRight: () => this.timeline.step(STEP_S),
      ArrowDown: () => this.setVolume((video.muted ? 0 : video.volume) - 0.1),
    };
    const action = act[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    this.wake();
    action();
  }

  private wake(): void {
    this.stage.classList.add("awake");
    clearTimeout(this.linger);
    this.linger = window.setTimeout(() => this.stage.classList.remove("awake"), LINGER_MS);
  }
}
