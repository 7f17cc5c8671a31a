// The player as it is seen: the video, what is said over it while there is none, and the controls.
// Shared by /watch and /embed.

import { expose } from "../handle";
import { Player } from "../player";
import type { Problem } from "../problem";
import { currentToken, rememberToken } from "../token";
import { streamUrls, type EmbedOptions } from "../url";
import { Controls } from "./controls";
import { countdown } from "./countdown";
import { el, setText } from "./dom";
import { icon } from "./icons";
import { LayerMenu } from "./layers";
import { StreamInfo } from "./stream-info";
import { StatsOverlay } from "./stats-overlay";
import { waves } from "./waves";

export class Stage {
  readonly player: Player;
  private readonly video = el("video", { playsinline: "", autoplay: "", "aria-label": "Live picture" });
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
  private readonly info: StreamInfo;
  private readonly layers: LayerMenu | null = null;

  constructor(
    private readonly root: HTMLElement,
    stream: string,
    private readonly options: EmbedOptions,
    private readonly changed: (player: Player) => void = () => {},
  ) {
    this.video.muted = options.muted;
    root.append(this.video, waves(), this.say, this.shaky, this.overlay.root, this.unmute, this.resume);
    const urls = streamUrls(location.origin, stream);
    this.player = new Player(this.video, urls.whep, currentToken(), () => this.update());
    this.info = new StreamInfo(stream, this.player, () => this.update());
    if (options.controls) {
      const controls = new Controls(root, this.video, { statistics: () => this.overlay.toggle() });
      this.layers = new LayerMenu(controls.layerBox, this.info, this.player);
      root.append(controls.bar);
    }
    this.listen();
    expose({ player: this.player });
    if (options.autoplay) this.player.start();
    else this.update();
  }

  private listen(): void {
    this.again.addEventListener("click", () => this.player.start());
    this.unmute.addEventListener("click", () => {
      this.video.muted = false;
      void this.video.play().catch(() => undefined);
    });
    this.resume.addEventListener("click", () => {
      if (this.player.state === "stopped") this.player.start();
      void this.play();
    });
    this.video.addEventListener("loadedmetadata", () => void this.play());
    for (const event of ["play", "pause", "volumechange"]) this.video.addEventListener(event, () => this.update());
    countdown(this.wait, () => this.player.retryAt);
    this.soundLevel();
    window.addEventListener("pagehide", () => this.player.stop());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) this.player.start();
    });
  }

  /** Plays; a browser that allows no sound yet gets it without. */
  private async play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if ((error as DOMException).name !== "NotAllowedError" || this.video.muted) return this.update();
      this.video.muted = true;
      await this.video.play().catch(() => this.update());
    }
  }

  private withToken(token: string): void {
    rememberToken(token);
    this.player.token = token;
    this.player.start();
  }

  private update(): void {
    const { player, video, root } = this;
    const html = document.documentElement;
    html.dataset["state"] = player.state;
    html.dataset["media"] = player.media;
    root.dataset["state"] = player.state;
    root.dataset["media"] = player.media;

    const words = wordsFor(player, this.info);
    setText(this.title, words?.title ?? "");
    setText(this.detail, words?.detail ?? "");
    this.say.hidden = words === null;
    const needsToken = player.state === "failed" && player.problem?.denied === true;
    this.tokenForm.hidden = !needsToken;
    this.again.hidden = needsToken || (player.state !== "reconnecting" && player.state !== "failed");
    setText(this.again, player.state === "failed" ? "Try again" : "Try now");

    const playing = player.state === "playing";
    const sound = (player.numbers?.audio?.packets ?? 0) > 0;
    const mayUnmute = this.options.controls || !this.options.muted;
    this.unmute.hidden = !(playing && sound && video.muted && mayUnmute);
    this.resume.hidden = !(player.state === "stopped" || (playing && video.paused && this.options.controls));
    setText(this.shaky, playing && player.shaky ? "The connection is unsteady" : "");
    this.overlay.show(player.numbers);
    this.info.update();
    this.layers?.update();
    this.changed(player);
  }

  /** Moves the level lines with the sound while there is no picture. */
  private soundLevel(): void {
    let level = 0;
    const step = () => {
      requestAnimationFrame(step);
      if (this.player.media !== "audio") return;
      const receiver = this.player.pc?.getReceivers().find((one) => one.track.kind === "audio");
      const now = receiver?.getSynchronizationSources()[0]?.audioLevel ?? this.player.numbers?.audio?.level ?? 0;
      level = Math.max(now, level * 0.92);
      this.root.style.setProperty("--level", level.toFixed(3));
    };
    requestAnimationFrame(step);
  }
}

/** What is said over the picture, or `null` while it speaks for itself. */
function wordsFor(player: Player, { why, interrupted }: StreamInfo): Pick<Problem, "title" | "detail"> | null {
  switch (player.state) {
    case "stopped":
      return null;
    case "connecting":
      return { title: "Connecting", detail: "" };
    case "reconnecting":
    case "failed":
      return player.problem?.denied ? denied(player.problem) : player.problem;
    case "waiting":
      if (player.media === "undecodable") {
        return why
          ? { title: "This browser cannot play the stream", detail: why }
          : { title: "Waiting for a whole picture", detail: "Media arrives. The next keyframe starts it." };
      }
      if (why) return { title: "No picture", detail: why };
      return {
        title: "Waiting for the publisher",
        detail: interrupted ? "It has lost its connection and may come back." : "It starts by itself.",
      };
    case "playing":
      return player.media === "audio" ? { title: "Sound only", detail: why } : null;
  }
}

/** The server's own words tell a program what to send; a person has a field for it. */
function denied(problem: Problem): Pick<Problem, "title" | "detail"> {
  return problem.status === 401
    ? { title: "This stream needs a token", detail: "Whoever publishes it, or runs this server, has one." }
    : { title: "This token is not accepted", detail: "It may be for another stream, or mistyped." };
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
