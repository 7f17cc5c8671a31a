// ICE restart (RFC 8445 section 2.4, RFC 9725 section 4.3.3): new addresses and credentials for a connection whose
// network has changed. Session, keys and media stay.

import { Problem } from "./problem";
import type { Session } from "./resource";
import { iceFragment, withIce } from "./sdp";

/** A PATCH without an answer: the network is not there yet. */
const PATCH_MS = 3000;

/** One connection's restarts. At most one may be under way. */
export class Restarts {
  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly session: Session,
    /** As it was set. */
    private answer: string,
    /** What was made of the first offer is made of the later ones. */
    private readonly describe: (sdp: string) => string,
  ) {}

  /** The server has said that it can. */
  get possible(): boolean {
    return this.session.etag !== null;
  }

  get relayed(): boolean {
    return this.session.iceServers.length > 0;
  }

  /** Restarts; the connection may come up from then on. Throws a `Problem`: nothing is different then. */
  async restart(): Promise<void> {
    const { pc } = this;
    pc.restartIce();
    const local = this.describe((await pc.createOffer()).sdp ?? "");
    await pc.setLocalDescription({ type: "offer", sdp: local });
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATCH_MS);
    try {
      const fragment = await this.session.restart(iceFragment(local), patience.signal);
      if (pc.signalingState === "closed") throw new Problem("Stopped", "");
      const answer = withIce(this.answer, fragment);
      await pc.setRemoteDescription({ type: "answer", sdp: answer });
      this.answer = answer;
    } catch (error) {
      // The pair that there was goes on.
      if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
