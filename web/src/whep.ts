// WHEP, the viewer's side (draft-ietf-wish-whep): one RTCPeerConnection that receives at most one
// video and one audio track. It stays the same while publishers come, go and change codec.

import { watchConnection, type ConnectionEvents } from "./connection";
import { listen, type WhepEvent } from "./events";
import { Problem } from "./problem";
import { offer, type Session, useIceServers } from "./resource";
import { Restarts } from "./restart";
import { acceptedKinds, withOpusParameters } from "./sdp";

const LAYER = "urn:ietf:params:whep:ext:core:layer";

/** How long media may go on while the DELETE is under way. */
const DELETE_MS = 500;

/** Without this a browser plays stereo Opus as mono. */
const stereo = (sdp: string) => withOpusParameters(sdp, { stereo: "1" });

export interface ViewerEvents extends ConnectionEvents {
  /** The server's own news of the stream, if it has them. */
  heard(event: WhepEvent): void;
}

export class WhepClient {
  readonly pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private readonly video = this.pc.addTransceiver("video", { direction: "recvonly" });
  private readonly audio = this.pc.addTransceiver("audio", { direction: "recvonly" });
  /**
   * The tracks, there from the start; they are silent until somebody publishes. Of one MediaStream,
   * so that the browser keeps lips and voice together.
   */
  readonly stream = new MediaStream([this.video.receiver.track, this.audio.receiver.track]);
  /** For a stream without pictures: a media element waits for the first one of every video track it has. */
  readonly soundOnly = new MediaStream([this.audio.receiver.track]);
  /** True while the server says by itself what happens to the stream. */
  hasEvents = false;
  private session: Session | null = null;
  private readonly aborted = new AbortController();
  private unwatch = () => {};
  private unlisten = () => {};

  /** Negotiates. Throws a `Problem`; afterwards `events` tell how it goes. */
  async connect(endpoint: string, token: string | null, events: ViewerEvents): Promise<void> {
    const { sdp } = await this.pc.createOffer();
    const local = stereo(sdp ?? "");
    await this.pc.setLocalDescription({ type: "offer", sdp: local });
    const answer = await offer(endpoint, local, token, this.aborted.signal);
    if (this.aborted.signal.aborted) {
      await answer.session.end();
      throw new Problem("Stopped", "");
    }
    this.session = answer.session;
    if (acceptedKinds(answer.sdp).length === 0) {
      throw new Problem("Nothing to play", "This browser and the server have no codec in common.", 406);
    }
    useIceServers(this.pc, answer.session);
    await this.pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    this.unlisten = listen(answer.session, {
      heard: events.heard,
      open: (on) => {
        this.hasEvents = on;
      },
    });
    const watching: ConnectionEvents = {
      ...events,
      lost: (problem, closed) => {
        // What the server has ended is not there to be deleted.
        if (closed) this.session = null;
        this.unlisten();
        events.lost(problem, closed);
      },
    };
    const restarts = new Restarts(this.pc, answer.session, answer.sdp, stereo);
    this.unwatch = watchConnection(this.pc, answer.sdp, watching, restarts);
  }

  /** True if the server lets a viewer choose a layer. */
  get canChooseLayer(): boolean {
    return this.session?.links.has(LAYER) ?? false;
  }

  /** Chooses an encoding by its id; `null` leaves the choice to the server again. */
  async chooseLayer(encodingId: string | null): Promise<void> {
    const mediaId = this.video.mid ?? "0";
    await this.session?.post(LAYER, encodingId === null ? { mediaId } : { mediaId, encodingId });
  }

  /** Ends the session on both sides. */
  close(): void {
    this.aborted.abort();
    this.unwatch();
    this.unlisten();
    const ended = this.session?.end();
    this.session = null;
    // In this order: closing says goodbye over UDP, and the DELETE would find nothing.
    void Promise.race([ended, new Promise((late) => setTimeout(late, DELETE_MS))]).then(() => this.pc.close());
  }
}
