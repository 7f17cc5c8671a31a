// The stream by WebRTC: one WHEP session at a time, what flows in it, and what the server says of the
// publisher. When to begin another is not decided here (`way.ts`). A publisher that leaves is no reason to: the
// session waits, and media starts again by itself. The server's events say so at once; without them
// it is judged from what arrives.

import type { Layer, WhepEvent } from "./events";
import { Flow, type Media } from "./flow";
import { Problem, toProblem } from "./problem";
import { StatsReader, type ViewerStats } from "./stats";
import { WhepClient } from "./whep";

const POLL_MS = 500;
/** The same while something else has the screen until the first picture is here. */
const EAGER_POLL_MS = 100;
/** A server that sends its viewers away again within that time makes them wait as after a failure. */
const MOVE_MS = 10_000;

export interface WebRtcEvents {
  /** The server has answered the offer. */
  answered(): void;
  /** The server sends it to a new session; the old one is over. */
  moved(): void;
  up(): void;
  lost(problem: Problem): void;
  /** Any of the fields below is another. */
  changed(): void;
}

export class WebRtc {
  client: WhepClient | null = null;
  media: Media = "nothing";
  /** The connection stands. */
  isUp = false;
  /** It stutters at this moment. */
  shaky = false;
  /** The last reading. */
  numbers: ViewerStats | null = null;
  /** What the server says of the publisher; `null`: it says nothing. */
  publisher: "there" | "gone" | null = null;
  /** What can be asked for, as the server says; `null`: it does not. */
  layers: Layer[] | null = null;
  /** The layer asked for; `null`: the highest. */
  layer: string | null = null;
  /** How many watch, as the server says. */
  viewers: number | null = null;

  private flow = new Flow();
  private reader = new StatsReader();
  private poll = 0;
  private movedAt = -Infinity;
  /** Takes the stream while it is not on the screen: some browsers decode only what is played. */
  private behind: HTMLVideoElement | null = null;
  private shown = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: WebRtcEvents,
  ) {}

  async connect(endpoint: string, token: string | null): Promise<void> {
    this.close();
    const client = new WhepClient();
    this.client = client;
    try {
      await client.connect(endpoint, token, {
        up: () => this.goesUp(client),
        shaky: () => {
          this.shaky = true;
          this.events.changed();
        },
        lost: (problem) => this.isLost(client, problem),
        heard: (event) => this.hears(client, event, endpoint, token),
      });
      if (client === this.client && !this.isUp) this.events.answered();
    } catch (error) {
      this.isLost(client, toProblem(error));
    }
  }

  /** It has the screen. */
  show(): void {
    this.shown = true;
    this.attach();
  }

  /** Something else has the screen, or will soon; what was shown last stays until then. */
  hide(): void {
    this.shown = false;
  }

  close(): void {
    clearInterval(this.poll);
    this.poll = 0;
    this.client?.close();
    this.client = null;
    this.isUp = false;
    this.flow = new Flow();
    this.reader = new StatsReader();
    this.media = "nothing";
    this.shaky = false;
    this.numbers = null;
    this.publisher = null;
    this.layers = null;
    this.viewers = null;
    this.dropBehind();
  }

  /** Asks for a layer by its id, now and in every later session; `null`: the highest. Throws a `Problem`. */
  async choose(layer: string | null): Promise<void> {
    this.layer = layer;
    if (!this.client?.canChooseLayer) return;
    try {
      await this.client.chooseLayer(layer);
    } catch (error) {
      this.layer = null;
      throw error;
    } finally {
      this.events.changed();
    }
  }

  /** A fresh reading of the connection's numbers. */
  async stats(): Promise<ViewerStats | null> {
    const client = this.client;
    if (!client || client.pc.connectionState === "closed") return null;
    const report = await client.pc.getStats();
    if (client !== this.client) return null;
    this.numbers = this.reader.viewer(report);
    return this.numbers;
  }

  private goesUp(client: WhepClient): void {
    if (client !== this.client) return;
    this.shaky = false;
    if (this.isUp) return this.events.changed();
    this.isUp = true;
    // A server that refuses the layer sends the highest.
    if (this.layer !== null) void this.choose(this.layer).catch(() => undefined);
    this.events.up();
    this.attach();
    this.watchFrames(client);
    this.keepLooking(client);
  }

  private keepLooking(client: WhepClient): void {
    clearInterval(this.poll);
    this.poll = window.setInterval(() => void this.look(client), this.shown ? POLL_MS : EAGER_POLL_MS);
  }

  private isLost(client: WhepClient, problem: Problem): void {
    if (client !== this.client) return;
    this.close();
    this.events.lost(problem);
  }

  private hears(client: WhepClient, event: WhepEvent, endpoint: string, token: string | null): void {
    if (client !== this.client) return;
    switch (event.type) {
      case "active":
        this.publisher = "there";
        this.flow.begun();
        return this.events.changed();
      case "inactive":
        this.publisher = "gone";
        this.flow.ended(performance.now());
        this.media = "nothing";
        return this.events.changed();
      case "layers":
        this.layers = event.layers;
        return this.events.changed();
      case "viewercount":
        this.viewers = event.count;
        return this.events.changed();
      case "reconnect":
        return this.move(client, event.url ?? endpoint, token);
    }
  }

  /** One new session in place of this one, because the server says so. */
  private move(client: WhepClient, endpoint: string, token: string | null): void {
    const again = performance.now() - this.movedAt < MOVE_MS;
    this.movedAt = performance.now();
    if (again) return this.isLost(client, new Problem("Connecting anew", "The server has asked for a new session."));
    void this.connect(endpoint, token);
    this.events.moved();
  }

  /** The first frame shows "playing" at once; that it goes on is judged by `look`. */
  private watchFrames(client: WhepClient): void {
    if (!("requestVideoFrameCallback" in this.video)) return;
    const frame = () => {
      if (client !== this.client) return;
      if (this.shown && this.media !== "video") void this.look(client);
      this.video.requestVideoFrameCallback(frame);
    };
    this.video.requestVideoFrameCallback(frame);
  }

  private async look(client: WhepClient): Promise<void> {
    const now = performance.now();
    const stats = await this.stats();
    if (!stats || client !== this.client) return;
    this.media = this.flow.sample(now, {
      frames: stats.video?.framesDecoded ?? 0,
      videoPackets: stats.video?.packets ?? 0,
      audioPackets: stats.audio?.packets ?? 0,
    });
    this.attach();
    this.events.changed();
  }

  private attach(): void {
    const { client, video } = this;
    if (!client || !this.isUp) return;
    if (!this.shown) {
      if (this.behind) return;
      this.behind = document.createElement("video");
      this.behind.muted = true;
      this.behind.srcObject = client.stream;
      void this.behind.play().catch(() => undefined);
      return;
    }
    const stream = this.media === "audio" ? client.soundOnly : client.stream;
    // Assigning the same one again would start the element anew.
    if (video.srcObject !== stream) video.srcObject = stream;
    if (!this.behind) return;
    this.dropBehind();
    this.keepLooking(client);
  }

  private dropBehind(): void {
    if (this.behind) this.behind.srcObject = null;
    this.behind = null;
  }
}
