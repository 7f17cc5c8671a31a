// The player behind <weir-player>: keeps one WHEP session, tells what can be seen and heard, and
// comes back by itself when the connection is lost. A publisher that leaves is no reason to
// reconnect: the session waits, and media starts again by itself. The server's events say so at
// once; without them it is judged from what arrives.

import type { Layer, WhepEvent } from "./events";
import { Flow, type Media } from "./flow";
import { NO_COMMON_CODEC, Problem, toProblem } from "./problem";
import { Retry } from "./retry";
import { StatsReader, type ViewerStats } from "./stats";
import { WhepClient } from "./whep";

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

const POLL_MS = 500;
/** A server that sends its viewers away again within that time makes them wait as after a failure. */
const MOVE_MS = 10_000;

export class Player {
  state: PlayerState = "stopped";
  problem: Problem | null = null;
  media: Media = "nothing";
  /** The connection stutters at this moment. */
  shaky = false;
  /** The last reading. */
  numbers: ViewerStats | null = null;
  client: WhepClient | null = null;
  /** What the server says of the publisher; `null`: it says nothing. */
  publisher: "there" | "gone" | null = null;
  /** What can be asked for, as the server says; `null`: it does not. */
  layers: Layer[] | null = null;
  /** The layer asked for; `null`: the highest. */
  layer: string | null = null;
  /** How many watch, as the server says. */
  viewers: number | null = null;

  private readonly retry = new Retry(() => void this.connect());
  private flow = new Flow();
  private reader = new StatsReader();
  private poll = 0;
  private movedAt = -Infinity;

  constructor(
    private readonly video: HTMLVideoElement,
    public endpoint: string,
    /** Sent as Bearer. */
    public token: string | null,
    /** Called after any change of the fields above. */
    private readonly changed: () => void,
  ) {}

  get pc(): RTCPeerConnection | null {
    return this.client?.pc ?? null;
  }

  get retryAt(): number | null {
    return this.retry.dueAt;
  }

  /** Starts, or starts again at once. */
  start(): void {
    this.retry.reset();
    this.problem = null;
    this.drop();
    this.become("connecting");
    void this.connect();
  }

  stop(): void {
    this.retry.cancel();
    this.drop();
    this.become("stopped");
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
      this.changed();
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

  private async connect(endpoint = this.endpoint): Promise<void> {
    this.drop();
    const client = new WhepClient();
    this.client = client;
    try {
      await client.connect(endpoint, this.token, {
        up: () => this.isUp(client),
        shaky: () => {
          this.shaky = true;
          this.changed();
        },
        lost: (problem) => this.isLost(client, problem),
        heard: (event) => this.hears(client, event),
      });
    } catch (error) {
      this.isLost(client, toProblem(error));
    }
  }

  private isUp(client: WhepClient): void {
    if (client !== this.client) return;
    this.shaky = false;
    if (this.poll !== 0) {
      this.changed();
      return;
    }
    this.problem = null;
    this.retry.reset();
    this.become("waiting");
    this.attach(client.stream);
    // A server that refuses the layer sends the highest.
    if (this.layer !== null) void this.choose(this.layer).catch(() => undefined);
    this.watchFrames(client);
    this.poll = window.setInterval(() => void this.look(client), POLL_MS);
  }

  private isLost(client: WhepClient, problem: Problem): void {
    if (client !== this.client) return;
    this.problem = problem;
    this.drop();
    // No codec in common passes too: the next publisher may bring another.
    if (problem.temporary || problem.type === NO_COMMON_CODEC) {
      this.retry.schedule(problem);
      this.become("reconnecting");
    } else {
      this.become("failed");
    }
  }

  private hears(client: WhepClient, event: WhepEvent): void {
    if (client !== this.client) return;
    switch (event.type) {
      case "active":
        this.publisher = "there";
        this.flow.begun();
        return this.changed();
      case "inactive":
        this.publisher = "gone";
        this.flow.ended(performance.now());
        this.media = "nothing";
        return this.state === "playing" ? this.become("waiting") : this.changed();
      case "layers":
        this.layers = event.layers;
        return this.changed();
      case "viewercount":
        this.viewers = event.count;
        return this.changed();
      case "reconnect":
        return this.move(event.url);
    }
  }

  /** One new session in place of this one, because the server says so. */
  private move(url: string | null): void {
    const again = performance.now() - this.movedAt < MOVE_MS;
    this.movedAt = performance.now();
    if (again) {
      this.problem = new Problem("Connecting anew", "The server has asked for a new session.");
      this.drop();
      this.retry.schedule(this.problem);
      this.become("reconnecting");
    } else {
      void this.connect(url ?? this.endpoint);
      this.become("connecting");
    }
  }

  /** The first frame shows "playing" at once; that it goes on is judged by `look`. */
  private watchFrames(client: WhepClient): void {
    if (!("requestVideoFrameCallback" in this.video)) return;
    const frame = () => {
      if (client !== this.client) return;
      if (this.media !== "video") void this.look(client);
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
    this.attach(this.media === "audio" ? client.soundOnly : client.stream);
    this.become(this.media === "video" || this.media === "audio" ? "playing" : "waiting");
  }

  private attach(stream: MediaStream): void {
    // Assigning the same one again would start the element anew.
    if (this.video.srcObject !== stream) this.video.srcObject = stream;
  }

  private drop(): void {
    clearInterval(this.poll);
    this.poll = 0;
    this.client?.close();
    this.client = null;
    this.flow = new Flow();
    this.reader = new StatsReader();
    this.media = "nothing";
    this.shaky = false;
    this.numbers = null;
    this.publisher = null;
    this.layers = null;
    this.viewers = null;
  }

  private become(state: PlayerState): void {
    this.state = state;
    this.changed();
  }
}
