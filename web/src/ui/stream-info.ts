// What the API says of the stream that is being watched: the layers there are, and why a picture
// does not come. Viewers may have no access to the API; then nothing is known and nothing is said.

import { getStream, type Stream } from "../api";
import * as format from "../format";
import type { Player } from "../player";
import { toProblem } from "../problem";
import { videoCodecs } from "../sdp";

const POLL_MS = 3000;

export class StreamInfo {
  stream: Stream | null = null;
  private denied = false;
  private client: unknown = null;

  constructor(
    private readonly name: string,
    private readonly player: Player,
    private readonly changed: () => void,
  ) {
    window.setInterval(() => void this.read(), POLL_MS);
  }

  /** To be called when the player's state changes: a new session is worth a look at once. */
  update(): void {
    if (this.player.state !== "playing" || this.player.client === this.client) return;
    this.client = this.player.client;
    void this.read();
  }

  /** Why there is no picture although the connection works, in plain words; empty if it is not known. */
  get why(): string {
    const video = this.stream?.tracks.find((track) => track.kind === "video");
    const accepted = videoCodecs(this.player.pc?.remoteDescription?.sdp ?? "");
    if (video && accepted.length > 0 && !accepted.includes(video.codec.toLowerCase())) {
      const plays = accepted.map(format.codec).join(", ");
      return `The stream is ${format.codec(video.codec)}, which this browser does not play. It plays ${plays}.`;
    }
    return "";
  }

  /** True if the publisher was there a moment ago and its place is kept. */
  get interrupted(): boolean {
    return this.stream?.state === "interrupted";
  }

  private async read(): Promise<void> {
    const { state } = this.player;
    if (this.denied || document.hidden || (state !== "playing" && state !== "waiting")) return;
    try {
      this.stream = await getStream(this.name, this.player.token);
    } catch (error) {
      this.denied = toProblem(error).denied;
      this.stream = null;
    }
    this.changed();
  }
}
