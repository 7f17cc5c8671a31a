// The player as it is seen: the video, what is said over it while there is none, and the controls.
// It lives in the shadow tree of <weir-player>, which passes on what it is told.

import type { Layer } from "../events";
import { Player, type Source } from "../player";
import { sounds } from "../stats";
import type { Via } from "../way";
import { Controls } from "./controls";
import { countdown } from "./countdown";
import { el, setText } from "./dom";
import { icon } from "./icons";
import { LayerMenu } from "./layers";
import { StatsOverlay } from "./stats-overlay";
import { Still } from "./still";
import { StreamInfo } from "./stream-info";
import { waves } from "./waves";
import { whyNot, wordsFor } from "./words";

export interface StageOptions {
  source: Source;
  token: string | null;
  via: Via;
  /** The layer asked for; `null`: the highest. */
  layer: string | null;
  /** Whose keys control it; `null`: its own, while it has the focus. */
  keys: EventTarget | null;
}

export class Stage {
  readonly root = el("div", { class: "stage", tabindex: "-1" });
  readonly player: Player;
  /** True after `pause` until `play`. */
  held = false;
  /** Whoever put it on the page means it to be heard: offers the sound even without controls. */
  wantsSound = false;
  private controlled = true;
  private readonly title = el("p", { class: "say-title" });
  private readonly detail = el("p", { class: "say-detail" });
  private readonly wait = el("p", { class: "say-wait", "aria-live": "off" });
  private readonly again = el("button", { type: "button", class: "button" });
  private readonly tokenForm = tokenForm((token) => this.withToken(token));
  private readonly say = el("div", { class: "say", role: "status" }, this.title, this.detail, this.wait, this.again, this.tokenForm);
  private readonly unmute = el("button", { type: "button", class: "unmute" }, icon("muted"), el("span", {}, "Turn sound on"));
  private readonly resume = el("button", { type: "button", class: "resume", "aria-label": "Play" }, icon("play"));
  private readonly shaky = el("p", { class: "shaky", role: "status" });
  private readonly overlay = new StatsOverlay();
  private readonly controls: Controls;
  private readonly info: StreamInfo;
  private readonly menu: LayerMenu;
  private readonly still: Still;
  private readonly life = new AbortController();
  private level = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    /** What stands for the video in the shadow tree: itself, or a slot. */
    place: HTMLElement,
    options: StageOptions,
    private readonly changed: () => void,
  ) {
    const { signal } = this.life;
    this.still = new Still(video);
    this.player = new Player(video, options.source, options.token, () => this.update());
    this.player.layer = options.layer;
    this.player.via = options.via;
    this.player.taking = () => this.still.take();
    this.info = new StreamInfo(this.player, () => this.update());
    const { player } = this;
    const actions = {
      statistics: () => this.overlay.toggle(),
      toggle: () => (video.paused ? void this.play() : this.pause()),
      seek: (second: number) => player.seek(second),
      goLive: () => this.goLive(),
    };
    this.controls = new Controls(this.root, video, actions, options.keys ?? this.root, signal);
    this.menu = new LayerMenu(this.controls.layerBox, this.player);
    this.root.append(place, this.still.root, waves(), this.say, this.shaky, this.overlay.root, this.unmute, this.resume, this.controls.bar);
    this.listen(signal);
    this.update();
  }

  /** What can be chosen, best first. */
  get layers(): Layer[] {
    const { layers, client, way } = this.player;
    if (way === "hls") return layers ?? [];
    const polled = this.info.layers;
    // What was heard is old where the events have ended and the API answers.
    return layers && (client?.hasEvents || polled.length === 0) ? layers : polled;
  }

  set showControls(on: boolean) {
    this.controlled = on;
    this.controls.enabled = on;
    this.controls.bar.hidden = !on;
    this.update();
  }

  /** Plays; a browser that allows no sound yet gets it without. */
  async play(): Promise<void> {
    this.held = false;
    this.video.autoplay = true;
    if (this.player.state === "stopped") this.player.start();
    try {
      await this.video.play();
    } catch (error) {
      if ((error as DOMException).name !== "NotAllowedError" || this.video.muted) return this.update();
      this.video.muted = true;
      await this.video.play().catch(() => this.update());
    }
  }

  /** Holds the picture. The session stays, so that `play` is live at once. */
  pause(): void {
    this.held = true;
    this.video.autoplay = false;
    this.video.pause();
  }

  /** To the newest there is, and on from there. */
  goLive(): void {
    this.player.goLive();
    if (this.video.paused) void this.play();
  }

  /** Ends the session. */
  stop(): void {
    this.player.stop();
    this.video.srcObject = null;
    this.still.drop();
  }

  /** To be called when it goes from the page for good. */
  dispose(): void {
    this.stop();
    this.life.abort();
    this.info.dispose();
  }

  private listen(signal: AbortSignal): void {
    const { video } = this;
    this.again.addEventListener("click", () => this.player.start());
    this.unmute.addEventListener("click", () => {
      video.muted = false;
      void video.play().catch(() => undefined);
    });
    this.resume.addEventListener("click", () => void this.play());
    video.addEventListener("loadedmetadata", () => void (this.held || this.play()), { signal });
    for (const event of ["play", "pause", "volumechange"]) video.addEventListener(event, () => this.update(), { signal });
    const stopCounting = countdown(this.wait, () => (this.player.state === "reconnecting" ? this.player.retryAt : null));
    signal.addEventListener("abort", stopCounting);
    let ran = false;
    const leave = () => {
      ran = this.player.state !== "stopped";
      this.player.stop();
    };
    window.addEventListener("pagehide", leave, { signal });
    window.addEventListener("pageshow", (event) => event.persisted && ran && this.player.start(), { signal });
  }

  private withToken(token: string): void {
    this.player.token = token;
    this.player.start();
  }

  private update(): void {
    const { player, video, root } = this;
    const mediaBefore = root.dataset["media"];
    root.dataset["state"] = player.state;
    root.dataset["media"] = player.media;
    root.dataset["via"] = player.way;
    if (player.media === "audio" || player.state === "stopped") this.still.drop();
    if (player.media === "audio" && mediaBefore !== "audio") this.soundLevel();

    const words = wordsFor(player, this.info);
    setText(this.title, words?.title ?? "");
    setText(this.detail, words?.detail ?? "");
    this.say.hidden = words === null;
    const needsToken = player.state === "failed" && player.problem?.denied === true;
    this.tokenForm.hidden = !needsToken;
    this.again.hidden = needsToken || (player.state !== "reconnecting" && player.state !== "failed");
    setText(this.again, player.state === "failed" ? "Try again" : "Try now");

    const playing = player.state === "playing";
    const sound = sounds(player.numbers);
    this.unmute.hidden = !(playing && sound && video.muted && (this.controlled || this.wantsSound));
    this.resume.hidden = !(player.state === "stopped" || (playing && video.paused && this.controlled));
    setText(this.shaky, playing && player.shaky ? "The connection is unsteady" : "");
    this.overlay.show(player.numbers, player.way, whyNot(player.detour, player.returnsAt, performance.now()));
    this.controls.timeline.update(player.timeline, player.numbers?.hls?.latencyMs ?? null);
    this.info.update();
    this.menu.update(this.layers);
    this.changed();
  }

  /** Moves the level lines with the sound while there is no picture. */
  private soundLevel(): void {
    if (this.player.media !== "audio") return;
    requestAnimationFrame(() => this.soundLevel());
    const receiver = this.player.pc?.getReceivers().find((one) => one.track.kind === "audio");
    const now = receiver?.getSynchronizationSources()[0]?.audioLevel ?? this.player.numbers?.audio?.level ?? 0;
    this.level = Math.max(now, this.level * 0.92);
    this.root.style.setProperty("--level", this.level.toFixed(3));
  }
}

function tokenForm(use: (token: string) => void): HTMLFormElement {
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: "", "aria-label": "Access token", placeholder: "Access token" });
  const form = el("form", { class: "row token-form" }, input, el("button", { class: "button primary", type: "submit" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(input.value.trim());
  });
  return form;
}
