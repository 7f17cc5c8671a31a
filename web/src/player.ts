// The player behind /watch and /embed: keeps one WHEP session, tells what can be seen and heard, and
// comes back by itself when the connection is lost. A publisher that leaves is no reason to
// reconnect: the session waits, and media starts again by itself.

import { Flow, type Media } from "./flow";
import { NO_COMMON_CODEC, type Problem, toProblem } from "./problem";
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

export class Player {
  state: PlayerState = "stopped";
  problem: Problem | null = null;
  media: Media = "nothing";
  /** The connection stutters at this moment. */
  shaky = false;
  /** The last reading. */
  numbers: ViewerStats | null = null;
  client: WhepClient | null = null;

  private readonly retry = new Retry(() => void this.connect());
  private flow = new Flow();
  private reader = new StatsReader();
  private poll = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly endpoint: string,
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

  /** A fresh reading of the connection's numbers. */
  async stats(): Promise<ViewerStats | null> {
    const client = this.client;
    if (!client || client.pc.connectionState === "closed") return null;
    const report = await client.pc.getStats();
    if (client !== this.client) return null;
    this.numbers = this.reader.viewer(report);
    return this.numbers;
  }

  private async connect(): Promise<void> {
    this.drop();
    const client = new WhepClient();
    this.client = client;
    try {
      await client.connect(this.endpoint, this.token, {
        up: () => this.isUp(client),
        shaky: () => {
          this.shaky = true;
          this.changed();
        },
        lost: (problem) => this.isLost(client, problem),
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
  }

  private become(state: PlayerState): void {
    this.state = state;
    this.changed();
  }
}
