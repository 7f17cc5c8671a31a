// <weir-player>: the player as a custom element, for our own pages and for anybody's. What it looks
// like is in its shadow tree (`ui/stage.ts`), so that the page around it changes nothing in it.
// A page that wants the <video> in its own tree puts one inside: <weir-player><video></video></weir-player>.
// Attributes, events and methods are described in docs/embedding.md.

import type { Layer } from "./events";
import type { Media } from "./flow";
import { HOME } from "./home";
import type { PlayerState, Source } from "./player";
import type { Problem } from "./problem";
import { StatsReader, type ViewerStats } from "./stats";
import css from "./style/player.css?inline";
import { el } from "./ui/dom";
import { Stage } from "./ui/stage";
import { hlsOf } from "./url";
import type { Via, Way } from "./way";

export type { Layer, Media, PlayerState, Problem, ViewerStats, Via, Way };

export interface WeirPlayerEventMap {
  "weir-state": CustomEvent<{ state: PlayerState; media: Media; way: Way; paused: boolean; muted: boolean }>;
  /** `problem` says which it is to a program; `retryInMs` is `null` if it does not try again by itself. */
  "weir-error": CustomEvent<{ title: string; detail: string; status: number; problem: string; retryInMs: number | null }>;
  /** `layer` is what was asked for, `null`: the highest. */
  "weir-layers": CustomEvent<{ layers: Layer[]; layer: string | null }>;
  "weir-viewercount": CustomEvent<{ count: number }>;
  "weir-stats": CustomEvent<ViewerStats>;
}

const TEXTS = ["src", "server", "stream", "hls", "token", "poster"] as const;
const SWITCHES = ["autoplay", "controls", "hotkeys"] as const;

// A server that renders pages may import this; it only cannot show anything.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class WeirPlayer extends Base {
  static readonly observedAttributes = [...TEXTS, ...SWITCHES, "layer", "muted", "via"];
  /** WHEP address. Without it, `stream` on `server`. */
  declare src: string;
  /** Where Weir is, `https://live.example.org`. */
  declare server: string;
  declare stream: string;
  /** LL-HLS address. Without it, what a Weir has beside the WHEP address. */
  declare hls: string;
  /** Sent as Bearer. */
  declare token: string;
  /** Image until the first picture. */
  declare poster: string;
  declare autoplay: boolean;
  declare controls: boolean;
  /** The keys of the whole page are for this player. */
  declare hotkeys: boolean;

  private stage: Stage | null = null;
  private picture: HTMLVideoElement | null = null;
  private reader = new StatsReader();
  private pending = false;
  /** The attribute `token` as it was last taken. */
  private given: string | null = null;
  /** What was told last, by event. */
  private told: Told = { state: "", layers: "", viewers: null, problem: null, numbers: null };

  /** Whether there is no sound now; the attribute says how it starts. */
  get muted(): boolean {
    return this.picture?.muted ?? this.hasAttribute("muted");
  }

  set muted(on: boolean) {
    this.toggleAttribute("muted", on);
    if (this.picture) this.picture.muted = on;
  }

  /** The layer asked for; empty: the highest. */
  get layer(): string {
    return this.stage ? (this.stage.player.layer ?? "") : (this.getAttribute("layer") ?? "");
  }

  set layer(id: string) {
    if (this.getAttribute("layer") === id) void this.stage?.player.choose(id || null).catch(() => undefined);
    else this.setAttribute("layer", id);
  }

  /** What to try: `auto`, `webrtc` or `hls`. */
  get via(): Via {
    const wish = this.getAttribute("via");
    return wish === "webrtc" || wish === "hls" ? wish : "auto";
  }

  set via(way: Via) {
    this.setAttribute("via", way);
  }

  /** 0 to 1. */
  get volume(): number {
    return this.picture?.volume ?? 1;
  }

  set volume(level: number) {
    if (this.picture) this.picture.volume = Math.min(1, Math.max(0, level));
  }

  get state(): PlayerState {
    return this.stage?.player.state ?? "stopped";
  }

  get media(): Media {
    return this.stage?.player.media ?? "nothing";
  }

  /** By which way the stream comes. */
  get way(): Way {
    return this.stage?.player.way ?? "webrtc";
  }

  /** Why it does not come by WebRTC, while it comes by HLS; else `null`. */
  get detour(): Problem | null {
    return this.stage?.player.detour ?? null;
  }

  /** Why it is reconnecting or failed, or `null`. */
  get problem(): Problem | null {
    return this.stage?.player.problem ?? null;
  }

  /** The connection now in use, or `null`. */
  get pc(): RTCPeerConnection | null {
    return this.stage?.player.pc ?? null;
  }

  /** The token in use: the attribute's, or what was typed in since. */
  get usedToken(): string | null {
    return this.stage?.player.token ?? null;
  }

  get layers(): Layer[] {
    return this.stage?.layers ?? [];
  }

  /** How many watch, as far as the server says. */
  get viewers(): number | null {
    return this.stage?.player.viewers ?? null;
  }

  get paused(): boolean {
    return this.picture?.paused ?? true;
  }

  /** The last reading, twice a second. */
  get numbers(): ViewerStats | null {
    return this.stage?.player.numbers ?? null;
  }

  /** A reading of its own, with rates since the previous call; `null` without a connection. */
  async stats(): Promise<ViewerStats | null> {
    if (this.way === "hls") return this.numbers;
    const report = await this.pc?.getStats();
    return report ? this.reader.viewer(report) : null;
  }

  /** Starts, or goes on after `pause`; always live. */
  async play(): Promise<void> {
    this.settle();
    await this.stage?.play();
  }

  /** Holds the picture; the session stays. */
  pause(): void {
    this.stage?.pause();
  }

  /** To the newest there is, where the past can be seen too. */
  goLive(): void {
    this.stage?.goLive();
  }

  /** Ends the session. */
  stop(): void {
    this.stage?.stop();
  }

  connectedCallback(): void {
    this.later();
  }

  disconnectedCallback(): void {
    // Moved to another place of the page, it goes on.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.stage?.dispose();
      this.stage = null;
      this.shadowRoot?.replaceChildren();
    });
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return;
    const { stage, picture } = this;
    if (!stage || !picture) return this.later();
    switch (name) {
      case "muted":
        picture.muted = now !== null;
        stage.wantsSound = now === null;
        break;
      case "controls":
        stage.showControls = this.controls;
        break;
      case "poster":
        picture.poster = this.poster;
        break;
      case "layer":
        void stage.player.choose(now || null).catch(() => undefined);
        break;
      case "src":
      case "server":
      case "stream":
      case "hls":
      case "via":
      case "token":
        this.later();
    }
  }

  /** Several attributes in one turn are one change. */
  private later(): void {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => this.settle());
  }

  private settle(): void {
    this.pending = false;
    const source = this.isConnected ? this.source() : null;
    if (source === null) return this.stop();
    const { stage } = this;
    if (!stage) return this.build(source);
    const { player } = stage;
    // A token that was typed in stays until the attribute is another, and is for its own server only.
    const given = this.token || null;
    const stays = given === this.given && new URL(source.endpoint).origin === new URL(player.source.endpoint).origin;
    const token = stays ? player.token : given;
    this.given = given;
    const same = JSON.stringify([player.source, player.token, player.via]) === JSON.stringify([source, token, this.via]);
    if (same) return;
    player.source = source;
    player.token = token;
    player.via = this.via;
    if (player.state !== "stopped") player.start();
  }

  private source(): Source | null {
    if (!this.src && !this.stream) return null;
    const own = `${(this.server || HOME).replace(/\/+$/, "")}/whep/${encodeURIComponent(this.stream)}`;
    try {
      const endpoint = new URL(this.src || own, document.baseURI).href;
      return { endpoint, hls: this.hls ? new URL(this.hls, document.baseURI).href : hlsOf(endpoint) };
    } catch {
      return null;
    }
  }

  private build(source: Source): void {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const given = this.querySelector<HTMLVideoElement>(":scope > video");
    const picture = given ?? el("video");
    this.picture = picture;
    picture.playsInline = true;
    picture.autoplay = true;
    picture.muted = this.hasAttribute("muted");
    if (this.poster) picture.poster = this.poster;
    picture.setAttribute("aria-label", "Live picture");
    if (given) given.slot = "video";
    this.given = this.token || null;
    const stage = new Stage(
      picture,
      given ? el("slot", { name: "video" }) : picture,
      { source, token: this.given, via: this.via, layer: this.getAttribute("layer") || null, keys: this.hotkeys ? document : null },
      () => this.tell(),
    );
    this.stage = stage;
    style(root);
    root.append(stage.root);
    stage.wantsSound = !picture.muted;
    stage.showControls = this.controls;
    if (this.autoplay) stage.player.start();
  }

  /** Events for what has changed. */
  private tell(): void {
    const { stage, told } = this;
    if (!stage) return;
    const { player } = stage;
    const now = { state: player.state, media: player.media, way: player.way, paused: this.paused, muted: this.picture?.muted ?? false };
    if (told.state !== (told.state = JSON.stringify(now))) this.emit("weir-state", now);
    if (told.problem !== player.problem) {
      told.problem = player.problem;
      if (player.problem) {
        const { title, detail, status, type } = player.problem;
        const retryInMs = player.retryAt === null ? null : Math.max(0, player.retryAt - performance.now());
        this.emit("weir-error", { title, detail, status, problem: type, retryInMs });
      }
    }
    const list = { layers: stage.layers, layer: player.layer };
    const layers = JSON.stringify(list);
    if (told.layers !== layers && (told.layers !== "" || list.layers.length > 0)) {
      told.layers = layers;
      this.emit("weir-layers", list);
    }
    if (told.viewers !== player.viewers) {
      told.viewers = player.viewers;
      if (player.viewers !== null) this.emit("weir-viewercount", { count: player.viewers });
    }
    if (told.numbers !== player.numbers) {
      told.numbers = player.numbers;
      if (player.numbers) this.emit("weir-stats", player.numbers);
    }
  }

  private emit<K extends keyof WeirPlayerEventMap>(type: K, detail: WeirPlayerEventMap[K]["detail"]): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

interface Told {
  state: string;
  layers: string;
  viewers: number | null;
  problem: Problem | null;
  numbers: ViewerStats | null;
}

export interface WeirPlayer {
  addEventListener<K extends keyof WeirPlayerEventMap>(
    type: K,
    listener: (this: WeirPlayer, event: WeirPlayerEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "weir-player": WeirPlayer;
  }
}

/** As a sheet of its own: a `<style>` would be refused by pages with a content security policy such as ours. */
function style(root: ShadowRoot): void {
  if ("adoptedStyleSheets" in root) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } else {
    (root as ShadowRoot).append(el("style", {}, css));
  }
}

// Properties that are their attributes.
for (const name of TEXTS) {
  Object.defineProperty(WeirPlayer.prototype, name, {
    get(this: Element) {
      return this.getAttribute(name) ?? "";
    },
    set(this: Element, value: string | null | undefined) {
      if (value === null || value === undefined || value === "") this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
  });
}
for (const name of SWITCHES) {
  Object.defineProperty(WeirPlayer.prototype, name, {
    get(this: Element) {
      return this.hasAttribute(name);
    },
    set(this: Element, value: unknown) {
      this.toggleAttribute(name, Boolean(value));
    },
  });
}

if (globalThis.customElements && !customElements.get("weir-player")) customElements.define("weir-player", WeirPlayer);
