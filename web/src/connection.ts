// Watches one RTCPeerConnection and says the two things that its owner acts on: it is up, or it is
// lost and why, in plain words. What ICE and DTLS report is spread over three state machines with
// different timers; here they become one. In between it restarts ICE: the same session, by another way.

import { NO_MEDIA_PATH, Problem, toProblem } from "./problem";
import { candidates, describeCandidates } from "./sdp";
import { Silence } from "./silence";

/** From the answer to a working connection. Chromium itself would say "failed" only after 15 s or more. */
const CONNECT_MS = 12_000;
/** "disconnected" heals by itself after a short loss; after this long ICE is restarted. */
const RESTART_MS = 1_000;
/** Without restarts it is lost after this long; with them after this long in which none could be asked for. */
const GRACE_MS = 4_000;
/** From the answer to a restart to a connection. */
const BACK_MS = 3_000;
/** From the answer to a connection, before relays are tried where there are some. */
const RELAY_MS = 1_500;
/** How often its numbers are looked at, to tell whether it is still heard. */
const LOOK_MS = 500;
/** Restarts of one loss. */
const TRIES = 3;

/** Which network the machine is in, where the browser says so. */
interface Network extends Partial<EventTarget> {
  /** `wifi`, `cellular`, … */
  type?: string;
}

/** How the connection is brought back, see `Restarts`. */
export interface Restartable {
  readonly possible: boolean;
  /** There are relays, whose candidates a restart gathers. */
  readonly relayed: boolean;
  restart(): Promise<void>;
}

export interface ConnectionEvents {
  /** ICE and DTLS are done; media can flow. */
  up(): void;
  /** Packets stopped for a moment. `up` or `lost` follows. */
  shaky(): void;
  /** It will not come back; called once. `closed`: the server said so, by DTLS close_notify. */
  lost(problem: Problem, closed: boolean): void;
}

/** Starts watching; call the result to stop. To be called when the answer is set. */
export function watchConnection(
  pc: RTCPeerConnection,
  answer: string,
  events: ConnectionEvents,
  restarts?: Restartable,
): () => void {
  let timer = 0;
  let relay = 0;
  let done = false;
  let wasUp = false;
  let restarting = false;
  /** Since when it is not up, and how many restarts there were since then. */
  let downAt: number | null = null;
  let tries = 0;
  let silence = new Silence();
  const network = (navigator as Navigator & { connection?: Network }).connection;
  let kind = network?.type;
  const dtls = pc.getTransceivers()[0]?.receiver.transport ?? null;

  const stop = () => {
    done = true;
    clearTimeout(timer);
    clearTimeout(relay);
    clearInterval(looks);
    pc.removeEventListener("connectionstatechange", changed);
    dtls?.removeEventListener("statechange", changed);
    window.removeEventListener("online", moved);
    network?.removeEventListener?.("change", changedNetwork);
  };
  const lost = (problem: Problem, closed = false) => {
    if (done) return;
    stop();
    events.lost(problem, closed);
  };
  const wait = (ms: number, then: () => void) => {
    clearTimeout(timer);
    timer = window.setTimeout(then, ms);
  };
  const down = () => {
    if (downAt === null) [downAt, tries] = [performance.now(), 0];
    const can = restarts?.possible ?? false;
    const failed = pc.connectionState === "failed";
    if (!can && failed) lost(silent());
    // Later tries follow from what becomes of the first.
    else if (!restarting && tries === 0) wait(failed ? 0 : can ? RESTART_MS : GRACE_MS, () => (can ? void restart() : lost(silent())));
  };
  const restart = async () => {
    if (restarting || !restarts) return;
    restarting = true;
    tries += 1;
    const problem = await restarts.restart().then(() => null, toProblem);
    restarting = false;
    if (done || downAt === null) return;
    const late = performance.now() - downAt >= GRACE_MS;
    // Another restart does not bring back a session that the server does not have.
    if (problem && (!problem.temporary || late)) lost(silent());
    else wait(problem ? RESTART_MS : BACK_MS, () => (tries < TRIES || problem ? void restart() : lost(silent())));
  };
  /** The machine is in another network: the pair that works may be about to go. */
  const moved = () => {
    if (wasUp && restarts?.possible) void restart();
  };
  /** Also said when only an estimate of its speed is another. */
  const changedNetwork = () => {
    if (network?.type !== kind) moved();
    kind = network?.type;
  };
  /** A network that goes beside another one is told by no event. */
  const look = async () => {
    if (!wasUp || downAt !== null || restarting) return;
    const report = await pc.getStats();
    if (done || downAt !== null || !silence.sample(performance.now(), report as ReadonlyMap<string, unknown>)) return;
    silence = new Silence();
    moved();
  };
  const changed = () => {
    if (done) return;
    if (dtls?.state === "closed") {
      lost(new Problem("The server closed the connection", "It is stopping, or somebody ended this session."), true);
    } else if (dtls?.state === "failed" || (pc.connectionState === "failed" && iceWorks(pc))) {
      lost(noDtls("failed"));
    } else if (pc.connectionState === "failed") {
      if (wasUp) down();
      else lost(noPath(answer));
    } else if (pc.connectionState === "connected") {
      clearTimeout(timer);
      wasUp = true;
      downAt = null;
      events.up();
    } else if (pc.connectionState === "disconnected") {
      down();
      events.shaky();
    }
  };

  timer = window.setTimeout(() => {
    lost(iceWorks(pc) ? noDtls("does not finish") : noPath(answer));
  }, CONNECT_MS);
  const looks = window.setInterval(() => void look(), LOOK_MS);
  if (restarts?.possible && restarts.relayed) {
    relay = window.setTimeout(() => {
      if (!wasUp) void restart();
    }, RELAY_MS);
  }
  pc.addEventListener("connectionstatechange", changed);
  dtls?.addEventListener("statechange", changed);
  window.addEventListener("online", moved);
  network?.addEventListener?.("change", changedNetwork);
  changed();
  return stop;
}

function iceWorks(pc: RTCPeerConnection): boolean {
  return pc.iceConnectionState === "connected" || pc.iceConnectionState === "completed";
}

/** What was tried, and what may be in the way. What happens next is its owner's to say. */
export function noPath(answer: string): Problem {
  const byTcp = candidates(answer).some(({ protocol }) => protocol === "tcp");
  return new Problem(
    byTcp ? "No UDP or TCP path to the server" : "No UDP path to the server",
    `It answers over HTTP, but media does not get through. Tried: ${describeCandidates(answer)}. A firewall, a proxy or a port mapping is in the way, ` +
      "or the server does not know the address it is reached at (webrtc.advertise)." +
      (byTcp ? "" : " It offers no TCP (webrtc.tcp), which firewalls let through more often."),
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
