// Watches one RTCPeerConnection and says the two things that its owner acts on: it is up, or it is
// lost and why, in plain words. What ICE and DTLS report is spread over three state machines with
// different timers; here they become one.

import { NO_MEDIA_PATH, Problem } from "./problem";
import { describeCandidates } from "./sdp";

/** From the answer to a working connection. Chromium itself would say "failed" only after 15 s or more. */
const CONNECT_MS = 12_000;
/** "disconnected" heals by itself after a short loss; after this long it is lost. */
const GRACE_MS = 4_000;

export interface ConnectionEvents {
  /** ICE and DTLS are done; media can flow. */
  up(): void;
  /** Packets stopped for a moment. `up` or `lost` follows. */
  shaky(): void;
  /** It will not come back; called once. `closed`: the server said so, by DTLS close_notify. */
  lost(problem: Problem, closed: boolean): void;
}

/** Starts watching; call the result to stop. To be called when the answer is set. */
export function watchConnection(pc: RTCPeerConnection, answer: string, events: ConnectionEvents): () => void {
  let timer = 0;
  let done = false;
  let wasUp = false;
  const dtls = pc.getTransceivers()[0]?.receiver.transport ?? null;

  const stop = () => {
    done = true;
    clearTimeout(timer);
    pc.removeEventListener("connectionstatechange", changed);
    dtls?.removeEventListener("statechange", changed);
  };
  const lost = (problem: Problem, closed = false) => {
    if (done) return;
    stop();
    events.lost(problem, closed);
  };
  const changed = () => {
    if (done) return;
    if (dtls?.state === "closed") {
      lost(new Problem("The server closed the connection", "It is stopping, or somebody ended this session."), true);
    } else if (dtls?.state === "failed" || (pc.connectionState === "failed" && iceWorks(pc))) {
      lost(noDtls("failed"));
    } else if (pc.connectionState === "failed") {
      lost(wasUp ? silent() : noPath(answer));
    } else if (pc.connectionState === "connected") {
      clearTimeout(timer);
      wasUp = true;
      events.up();
    } else if (pc.connectionState === "disconnected") {
      clearTimeout(timer);
      timer = window.setTimeout(() => lost(silent()), GRACE_MS);
      events.shaky();
    }
  };

  timer = window.setTimeout(() => {
    lost(iceWorks(pc) ? noDtls("does not finish") : noPath(answer));
  }, CONNECT_MS);
  pc.addEventListener("connectionstatechange", changed);
  dtls?.addEventListener("statechange", changed);
  changed();
  return stop;
}

function iceWorks(pc: RTCPeerConnection): boolean {
  return pc.iceConnectionState === "connected" || pc.iceConnectionState === "completed";
}

function noPath(answer: string): Problem {
  return new Problem(
    "No UDP path to the server",
    `It answers over HTTP, but not on ${describeCandidates(answer)}. A firewall or a port mapping is in the way, ` +
      "or the server does not know the address it is reached at (webrtc.advertise).",
    0,
    0,
    NO_MEDIA_PATH,
  );
}

function noDtls(how: string): Problem {
  return new Problem("No encrypted connection", `The server is reached, but the DTLS handshake with it ${how}.`, 0, 0, NO_MEDIA_PATH);
}

function silent(): Problem {
  return new Problem("Connection lost", "The server has stopped answering on its media port.");
}
