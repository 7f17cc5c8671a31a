// What the API says of the stream that is being watched: the layers there are, and why a picture
// does not come. Asked only where the session has no events or nothing is seen, and only on the
// server's own pages. Viewers may have no access to the API; then nothing is known and nothing said.

import { getStream, sourceEncodings, type Stream } from "../api";
import type { Layer } from "../events";
import * as format from "../format";
import type { Player } from "../player";
import { toProblem } from "../problem";
import { videoCodecs } from "../sdp";

const POLL_MS = 3000;

export class StreamInfo {
  private stream: Stream | null = null;
  /** The token with which the API was denied. */
  private denied: { token: string | null } | null = null;
  private client: unknown = null;
  private publisher: unknown = null;
  private readonly timer: number;

  constructor(
    private readonly player: Player,
    private readonly changed: () => void,
  ) {
    this.timer = window.setInterval(() => void this.read(), POLL_MS);
  }

  /** To be called when the player's state changes: a new session or publisher is worth a look at once. */
  update(): void {
    const { state, client, publisher } = this.player;
    const news = (state === "playing" && client !== this.client) || publisher !== this.publisher;
    if (!news) return;
    this.client = client;
    this.publisher = publisher;
    void this.read();
  }

  dispose(): void {
    clearInterval(this.timer);
  }

  /** Best first. */
  get layers(): Layer[] {
    return this.stream ? sourceEncodings(this.stream).map(({ id, width, height, active }) => ({ id, width, height, active })) : [];
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
    const { state, client, token, way } = this.player;
    // By HLS the playlist says what there is.
    const wanted = state === "waiting" || (state === "playing" && way === "webrtc" && !client?.hasEvents);
    const name = ownStream(this.player.source.endpoint);
    if (!wanted || name === null || this.denied?.token === token || document.hidden) return;
    try {
      this.stream = await getStream(name, token);
    } catch (error) {
      if (toProblem(error).denied) this.denied = { token };
      this.stream = null;
    }
    this.changed();
  }
}

/** The stream's name if `endpoint` is of the server that this page is from: the API answers no other page. */
function ownStream(endpoint: string): string | null {
  const { origin, pathname } = new URL(endpoint);
  const name = /^\/whep\/([^/]+)$/.exec(pathname)?.[1];
  if (origin !== location.origin || name === undefined) return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}
