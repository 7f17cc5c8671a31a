// What /publish sends: keeps one WHIP session going with the tracks it is given, and comes back by
// itself with the same tracks when the connection is lost.

import { getReady } from "./api";
import { Problem, toProblem } from "./problem";
import { Retry } from "./retry";
import { StatsReader, type PublisherStats } from "./stats";
import { WhipClient, type Sending } from "./whip";

export type PublisherState =
  | "idle"
  /** Negotiating, for the first time. */
  | "connecting"
  | "live"
  /** Lost; tries again at `retryAt`. `problem` says why. */
  | "reconnecting"
  /** Trying again would not help. `problem` says why. */
  | "failed";

const ENDED = new Problem(
  "This session was ended",
  "Somebody else publishes this stream now, or whoever runs the server disconnected it. Going live again takes it back.",
  410,
);

export class Publisher {
  state: PublisherState = "idle";
  problem: Problem | null = null;
  /** The connection stutters at this moment. */
  shaky = false;
  client: WhipClient | null = null;

  private sending: Sending | null = null;
  private reader = new StatsReader();
  private wasLive = false;
  private readonly retry = new Retry(() => void this.connect());

  constructor(
    private readonly endpoint: string,
    private readonly changed: () => void,
  ) {}

  /** Sent as Bearer. */
  token: string | null = null;

  get pc(): RTCPeerConnection | null {
    return this.client?.pc ?? null;
  }

  get retryAt(): number | null {
    return this.retry.dueAt;
  }

  start(sending: Sending): void {
    this.sending = sending;
    this.wasLive = false;
    this.problem = null;
    this.retry.reset();
    this.become("connecting");
    void this.connect();
  }

  stop(): void {
    this.retry.cancel();
    this.problem = null;
    this.drop();
    this.become("idle");
  }

  /** Tries again now instead of later. */
  retryNow(): void {
    this.retry.now();
  }

  /** Sends another track of the same kind from now on. */
  async replace(track: MediaStreamTrack): Promise<void> {
    if (this.sending) this.sending = { ...this.sending, [track.kind]: track };
    await this.client?.replace(track);
  }

  /** A fresh reading of the connection's numbers. */
  async stats(): Promise<PublisherStats | null> {
    const client = this.client;
    if (!client || client.pc.connectionState === "closed") return null;
    const report = await client.pc.getStats();
    return client === this.client ? this.reader.publisher(report) : null;
  }

  private async connect(): Promise<void> {
    this.drop();
    if (!this.sending) return;
    let client: WhipClient;
    try {
      client = new WhipClient(this.sending);
    } catch (error) {
      this.problem = toProblem(error);
      this.become("failed");
      return;
    }
    this.client = client;
    try {
      await client.connect(this.endpoint, this.token, {
        up: () => {
          this.shaky = false;
          this.wasLive = true;
          this.problem = null;
          this.retry.reset();
          this.become("live");
        },
        shaky: () => {
          this.shaky = true;
          this.changed();
        },
        lost: (problem, closed) => void (closed ? this.wasClosed(client, problem) : this.isLost(client, problem)),
      });
    } catch (error) {
      this.isLost(client, toProblem(error));
    }
  }

  /** A server that goes on has ended this session alone; coming back would fight whoever wanted that. */
  private async wasClosed(client: WhipClient, problem: Problem): Promise<void> {
    const goesOn = await getReady();
    this.isLost(client, goesOn ? ENDED : problem);
  }

  private isLost(client: WhipClient, problem: Problem): void {
    if (client !== this.client) return;
    this.problem = problem;
    this.drop();
    // A publisher that was live fights for its place: the server may still hold its old session.
    const again = problem.temporary || (this.wasLive && problem.status === 409);
    if (again) {
      this.retry.schedule(problem);
      this.become("reconnecting");
    } else {
      this.become("failed");
    }
  }

  private drop(): void {
    this.client?.close();
    this.client = null;
    this.reader = new StatsReader();
    this.shaky = false;
  }

  private become(state: PublisherState): void {
    this.state = state;
    this.changed();
  }
}
