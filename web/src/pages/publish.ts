// /publish/{stream}: sends camera, screen and microphone by WHIP. Everything in the form can be set
// by the address (`publishOptions` in url.ts): ?codec=h264&simulcast=1&video=camera|screen|none&
// audio=1&width=1280&height=720&fps=30&bitrate=2500&music=1&prefer=resolution|motion&auto=1&token=…

import { capture, captureProblem, devices, type Captured } from "../capture";
import * as format from "../format";
import { expose } from "../handle";
import { Problem, toProblem } from "../problem";
import { Publisher, type PublisherState } from "../publisher";
import { currentToken, rememberToken } from "../token";
import { copyable } from "../ui/copy";
import { countdown } from "../ui/countdown";
import { byId, el, setText } from "../ui/dom";
import { Microphone } from "../ui/microphone";
import { nameless } from "../ui/nameless";
import { PublishForm } from "../ui/publish-form";
import { PublishNumbers } from "../ui/publish-numbers";
import { themeButton } from "../ui/theme";
import { streamFromPath, streamUrls } from "../url";

const STATS_MS = 1000;
/** Fields that mean another track. */
const SOURCE_FIELDS = ["video", "camera", "resolution", "fps", "audio", "microphone", "music"];

class PublishPage {
  private readonly preview = byId<HTMLVideoElement>("preview");
  private readonly go = byId<HTMLButtonElement>("go");
  private readonly mute = byId<HTMLButtonElement>("mute");
  private readonly blank = byId<HTMLButtonElement>("blank");
  private readonly token = byId<HTMLInputElement>("token");
  private readonly numbers = new PublishNumbers();
  private readonly microphone = new Microphone(byId("mic-level"));
  private readonly publisher: Publisher;
  private readonly form: PublishForm;
  private tracks: Captured = { video: null, audio: null };
  /** Of the page itself; the publisher has its own. */
  private problem: Problem | null = captureProblem();
  private opening = false;
  private liveSince = 0;
  private readonly wait = el("span");
  private readonly retryButton = el("button", { type: "button", class: "button small" }, "Try now");

  constructor(stream: string) {
    const urls = streamUrls(location.origin, stream);
    copyable(byId("watch-link"), "the link to watch", true)(urls.watch);
    this.publisher = new Publisher(urls.whip, () => this.show());
    expose({ publisher: this.publisher });
    this.token.value = currentToken() ?? "";
    this.form = new PublishForm(new URLSearchParams(location.search), (field) => void this.changed(field));

    this.go.addEventListener("click", () => void this.toggle());
    byId("open-devices").addEventListener("click", () => void this.open());
    this.mute.addEventListener("click", () => this.flip(this.tracks.audio));
    this.blank.addEventListener("click", () => this.flip(this.tracks.video));
    this.token.addEventListener("change", () => rememberToken(this.token.value.trim()));
    this.retryButton.addEventListener("click", () => this.publisher.retryNow());
    this.preview.addEventListener("resize", () => this.showSize());
    window.addEventListener("pagehide", () => this.publisher.stop());
    window.setInterval(() => void this.readNumbers(), STATS_MS);
    countdown(this.wait, () => this.publisher.retryAt);
    navigator.mediaDevices?.addEventListener?.("devicechange", () => void this.listDevices());
    void this.listDevices();
    this.show();
    if (this.form.values().auto) void this.toggle();
  }

  private get live(): boolean {
    return ["connecting", "live", "reconnecting"].includes(this.publisher.state);
  }

  private async toggle(): Promise<void> {
    if (this.live) {
      this.publisher.stop();
      return;
    }
    if (!(await this.open())) return;
    const { codec, simulcast, bitrate, music, prefer } = this.form.values();
    this.publisher.token = this.token.value.trim() || null;
    this.liveSince = 0;
    this.publisher.start({ ...this.tracks, codec, simulcast, bitrate, music, prefer });
  }

  /** Opens what the form wants, unless it is open; false if that failed. */
  private async open(again = false): Promise<boolean> {
    const wanted = this.form.values();
    const has = (this.tracks.video !== null || wanted.video === "none") && (this.tracks.audio !== null || !wanted.audio);
    if (has && !again && (this.tracks.video || this.tracks.audio)) return true;
    if (this.opening) return false;
    this.opening = true;
    this.problem = null;
    this.show();
    try {
      if (wanted.video === "none" && !wanted.audio) {
        throw new Problem("Nothing to send", "Choose a picture or a sound.");
      }
      const tracks = await capture(wanted);
      await this.take(tracks);
      return true;
    } catch (error) {
      this.problem = toProblem(error);
      return false;
    } finally {
      this.opening = false;
      await this.listDevices();
      this.show();
    }
  }

  private async take(tracks: Captured): Promise<void> {
    const old = this.tracks;
    this.tracks = tracks;
    for (const track of [tracks.video, tracks.audio]) {
      if (!track) continue;
      track.addEventListener("ended", () => this.ended(track));
      if (this.live) await this.publisher.replace(track);
    }
    for (const track of [old.video, old.audio]) track?.stop();
    this.preview.srcObject = tracks.video ? new MediaStream([tracks.video]) : null;
    this.microphone.listen(tracks.audio);
  }

  /** A device was unplugged, or the browser's own "stop sharing" was pressed. */
  private ended(track: MediaStreamTrack): void {
    if (track !== this.tracks.video && track !== this.tracks.audio) return;
    const what = track.kind === "video" ? "picture" : "sound";
    this.publisher.stop();
    this.close();
    this.problem = new Problem(`The ${what} ended`, "The device was unplugged, or sharing was stopped in the browser.");
    this.show();
  }

  private close(): void {
    for (const track of [this.tracks.video, this.tracks.audio]) track?.stop();
    this.tracks = { video: null, audio: null };
    this.preview.srcObject = null;
    this.microphone.listen(null);
  }

  private async changed(field: string): Promise<void> {
    const isOpen = this.tracks.video !== null || this.tracks.audio !== null;
    if (!SOURCE_FIELDS.includes(field) || !isOpen) return this.show();
    // A screen is asked for again each time: not before the old one is given back.
    if (!(await this.open(true)) && !this.live) this.close();
    this.show();
  }

  private flip(track: MediaStreamTrack | null): void {
    if (track) track.enabled = !track.enabled;
    this.show();
  }

  private async listDevices(): Promise<void> {
    const { cameras, microphones } = await devices();
    this.form.devices(cameras, microphones);
  }

  private async readNumbers(): Promise<void> {
    const { state } = this.publisher;
    const seconds = this.liveSince ? (performance.now() - this.liveSince) / 1000 : 0;
    setText(byId("on-air"), state === "live" ? `on air ${format.clock(seconds)}` : "");
    if (state !== "live") return;
    const stats = await this.publisher.stats();
    if (stats && this.publisher.state === "live") this.numbers.show(stats);
  }

  private show(): void {
    const { state, shaky } = this.publisher;
    document.documentElement.dataset["state"] = state;
    if (state === "live" && this.liveSince === 0) this.liveSince = performance.now();
    if (state !== "live") this.numbers.clear();
    const pill = byId("state");
    setText(pill, shaky && state === "live" ? "unsteady" : WORDS[state]);
    pill.dataset["state"] = state;
    setText(this.go, this.live ? "Stop" : "Go live");
    this.go.classList.toggle("stop", this.live);
    this.go.disabled = this.opening || captureProblem() !== null;
    this.form.lock(this.live);
    this.showProblem();
    this.showPreview();
    const { audio, video } = this.tracks;
    toggleButton(this.mute, audio, "Mute microphone", "Microphone muted");
    toggleButton(this.blank, video, "Pause picture", "Picture paused");
  }

  private showProblem(): void {
    const problem = this.publisher.problem ?? this.problem;
    const box = byId("problem");
    box.hidden = problem === null;
    if (!problem) return;
    const detail = problem.denied ? DENIED : problem.detail;
    box.replaceChildren(el("strong", {}, problem.title), el("span", {}, detail), el("span", { class: "retry" }));
    if (this.publisher.state === "reconnecting") box.lastElementChild?.append(this.wait, this.retryButton);
    if (problem.denied) byId<HTMLDetailsElement>("token-box").open = true;
  }

  private showPreview(): void {
    const { video, audio } = this.tracks;
    const source = this.form.values().video;
    byId("preview-empty").hidden = video !== null;
    byId("open-devices").hidden = audio !== null || this.opening || captureProblem() !== null;
    setText(byId("open-devices"), source === "screen" ? "Choose a screen" : source === "none" ? "Turn on the microphone" : "Turn on camera and microphone");
    const words = this.opening ? "Waiting for the browser’s permission…" : audio ? "Sound only" : "Nothing is sent before you go live.";
    setText(byId("preview-text"), words);
    this.showSize();
  }

  private showSize(): void {
    const { video } = this.tracks;
    const settings = video?.getSettings();
    const size = format.size(this.preview.videoWidth, this.preview.videoHeight);
    const rate = settings?.frameRate ? format.fps(settings.frameRate) : "";
    setText(byId("preview-size"), video ? [size, rate].filter(Boolean).join(" · ") : "");
  }
}

const DENIED = "Publishing here needs the server’s access token: weir prints it when it starts. Give it below and go live again.";

const WORDS: Record<PublisherState, string> = {
  idle: "off air",
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  failed: "not live",
};

function toggleButton(button: HTMLButtonElement, track: MediaStreamTrack | null, on: string, off: string): void {
  button.hidden = track === null;
  const paused = track !== null && !track.enabled;
  button.setAttribute("aria-pressed", String(paused));
  setText(button, paused ? off : on);
}

themeButton();
const stream = streamFromPath(location.pathname);
if (stream === null) {
  nameless(byId("main"));
} else {
  document.title = `Publish ${stream} · Weir`;
  setText(byId("stream-name"), stream);
  new PublishPage(stream);
}
