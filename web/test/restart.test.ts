import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchConnection, type Restartable } from "../src/connection";
import { Problem, unreachable } from "../src/problem";
import { Session } from "../src/resource";
import { Restarts } from "../src/restart";
import { iceFragment, withIce } from "../src/sdp";

const lines = (...all: string[]) => all.join("\r\n") + "\r\n";

const OFFER = lines(
  "v=0",
  "o=- 7 2 IN IP4 127.0.0.1",
  "a=group:BUNDLE 0 1",
  "a=msid-semantic: WMS",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:Y1d+",
  "a=ice-pwd:their/password+of22ch",
  "a=ice-options:trickle",
  "a=mid:0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=ice-ufrag:Y1d+",
  "a=ice-pwd:their/password+of22ch",
  "a=mid:1",
);
const ANSWER = lines(
  "v=0",
  "o=- 4611686018427387904 1 IN IP4 0.0.0.0",
  "a=group:BUNDLE 0 1",
  "a=ice-lite",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:old",
  "a=ice-pwd:old-password",
  "a=mid:0",
  "a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host",
  "a=candidate:2 1 udp 2130706175 192.0.2.8 8080 typ host",
  "a=end-of-candidates",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=ice-ufrag:old",
  "a=ice-pwd:old-password",
  "a=mid:1",
  "a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host",
  "a=end-of-candidates",
);
const FRESH = lines(
  "a=ice-lite",
  "a=group:BUNDLE 0 1",
  "m=video 9 UDP/TLS/RTP/SAVPF 0",
  "a=mid:0",
  "a=ice-ufrag:fresh",
  "a=ice-pwd:fresh-password",
  "a=candidate:1 1 udp 2130706431 198.51.100.1 8080 typ host",
  "a=end-of-candidates",
);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("window", Object.assign(new EventTarget(), { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a fragment has the group and the first m-line with its credentials", () => {
  expect(iceFragment(OFFER)).toBe(
    lines(
      "a=group:BUNDLE 0 1",
      "m=video 9 UDP/TLS/RTP/SAVPF 96",
      "a=mid:0",
      "a=ice-ufrag:Y1d+",
      "a=ice-pwd:their/password+of22ch",
    ),
  );
});

test("the answer gets what the fragment says, and the next version", () => {
  const line = "a=candidate:1 1 udp 2130706431 198.51.100.1 8080 typ host";
  const old = "a=candidate:1 1 udp 2130706431 192.0.2.7 8080 typ host";
  const second = "a=candidate:2 1 udp 2130706175 192.0.2.8 8080 typ host\r\n";
  const wanted = ANSWER.replace(second, "").replaceAll(old, line).replaceAll(":old-password", ":fresh-password").replaceAll(":old", ":fresh");
  expect(withIce(ANSWER, FRESH)).toBe(wanted.replace(" 1 IN IP4", " 2 IN IP4"));
  expect(withIce(withIce(ANSWER, FRESH), FRESH)).toContain("o=- 4611686018427387904 3 IN IP4");
});

/** The little of an RTCPeerConnection that matters here. */
class FakePc extends EventTarget {
  connectionState = "connected";
  iceConnectionState = "connected";
  signalingState = "stable";
  readonly set: RTCSessionDescriptionInit[] = [];
  restarts = 0;
  getTransceivers = () => [];
  /** Of its one pair. */
  numbers = { bytesReceived: 0, responsesReceived: 0, requestsSent: 0 };
  getStats = async () =>
    new Map<string, unknown>([
      ["t", { type: "transport", selectedCandidatePairId: "p" }],
      ["p", { type: "candidate-pair", ...this.numbers }],
    ]);
  restartIce = () => {
    this.restarts += 1;
  };
  createOffer = async () => ({ type: "offer", sdp: OFFER });
  setLocalDescription = async (it: RTCSessionDescriptionInit) => {
    this.set.push(it);
    this.signalingState = it.type === "offer" ? "have-local-offer" : "stable";
  };
  setRemoteDescription = async (it: RTCSessionDescriptionInit) => {
    this.set.push(it);
    this.signalingState = "stable";
  };
  become(state: string) {
    this.connectionState = state;
    this.iceConnectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  get real() {
    return this as unknown as RTCPeerConnection;
  }
}

function stub(...answers: (Response | Error)[]) {
  const calls: [string, RequestInit][] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push([url, init]);
    const answer = answers.shift();
    if (!answer || answer instanceof Error) throw answer ?? new Error("one request too many");
    return answer;
  });
  return calls;
}

const ok = (tag: string) => new Response(FRESH, { status: 200, headers: { ETag: tag } });
const session = () => new Session("http://weir.test/whep/demo/s1", new Map(), "secret", '"s-0"');

test("a restart is one PATCH, and the next one builds upon it", async () => {
  const calls = stub(ok('"s-1"'), ok('"s-2"'));
  const [pc, one] = [new FakePc(), session()];
  const restarts = new Restarts(pc.real, one, ANSWER, (sdp) => sdp);
  await restarts.restart();
  expect(calls[0]?.[0]).toBe(one.url);
  expect(calls[0]?.[1]).toMatchObject({
    method: "PATCH",
    body: iceFragment(OFFER),
    headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*", Authorization: "Bearer secret" },
  });
  expect(one.etag).toBe('"s-1"');
  expect(pc.set.map((it) => it.type)).toEqual(["offer", "answer"]);
  expect(pc.set[1]?.sdp).toBe(withIce(ANSWER, FRESH));
  await restarts.restart();
  expect(pc.set[3]?.sdp).toContain(" 3 IN IP4");
  expect(pc.restarts).toBe(2);
});

test("a restart that fails is rolled back", async () => {
  const gone = new Response(JSON.stringify({ title: "No such session", status: 404 }), { status: 404 });
  stub(gone, new TypeError("Failed to fetch"), new Response(null, { status: 204 }));
  const pc = new FakePc();
  const restarts = new Restarts(pc.real, session(), ANSWER, (sdp) => sdp);
  await expect(restarts.restart()).rejects.toMatchObject({ status: 404, temporary: false });
  expect(pc.set.map((it) => it.type)).toEqual(["offer", "rollback"]);
  await expect(restarts.restart()).rejects.toMatchObject({ temporary: true });
  await expect(restarts.restart()).rejects.toMatchObject({ temporary: false });
  expect(pc.signalingState).toBe("stable");
});

/** What its owner hears, and how restarts end: `null` with success. */
function watched(outcomes: (Problem | null)[], possible = true, pc = new FakePc(), relayed = false) {
  const heard: string[] = [];
  const restarts: Restartable = {
    possible,
    relayed,
    restart: async () => {
      heard.push("restart");
      const outcome = outcomes.shift();
      if (outcome !== null) throw outcome ?? new Problem("one restart too many", "", 400);
    },
  };
  const stop = watchConnection(pc.real, ANSWER, {
    up: () => heard.push("up"),
    shaky: () => heard.push("shaky"),
    lost: (problem) => heard.push(`lost: ${problem.title}`),
  }, restarts);
  const later = async (ms: number) => vi.advanceTimersByTimeAsync(ms);
  return { pc, heard, stop, later };
}

test("a disconnection that heals by itself restarts nothing", async () => {
  const { pc, heard, later } = watched([]);
  pc.become("disconnected");
  await later(900);
  pc.become("connected");
  await later(60_000);
  expect(heard).toEqual(["up", "shaky", "up"]);
});

test("after a second ICE restarts, and the session lives on", async () => {
  const { pc, heard, later } = watched([null]);
  pc.become("disconnected");
  await later(1100);
  expect(heard).toEqual(["up", "shaky", "restart"]);
  pc.become("connecting");
  pc.become("connected");
  await later(60_000);
  expect(heard).toEqual(["up", "shaky", "restart", "up"]);
});

test("what has failed restarts at once, and three restarts in vain are the end", async () => {
  const { pc, heard, later } = watched([null, null, null]);
  pc.become("failed");
  await later(1);
  expect(heard).toEqual(["up", "restart"]);
  await later(20_000);
  expect(heard).toEqual(["up", "restart", "restart", "restart", "lost: Connection lost"]);
});

test("a session that the server does not have is lost at once", async () => {
  const { pc, heard, later } = watched([new Problem("No such session", "", 404)]);
  pc.become("disconnected");
  await later(1001);
  expect(heard).toEqual(["up", "shaky", "restart", "lost: Connection lost"]);
});

test("without an answer by HTTP it is lost when it always was", async () => {
  const none = [unreachable(), unreachable(), unreachable(), unreachable(), unreachable()];
  const { pc, heard, later } = watched(none);
  pc.become("disconnected");
  await later(3900);
  expect(heard).not.toContain("lost: Connection lost");
  await later(200);
  expect(heard.at(-1)).toBe("lost: Connection lost");
});

test("a server without restarts: as before", async () => {
  const { pc, heard, later } = watched([], false);
  pc.become("disconnected");
  await later(3900);
  expect(heard).toEqual(["up", "shaky"]);
  await later(200);
  expect(heard).toEqual(["up", "shaky", "lost: Connection lost"]);
});

test("a new network restarts what still works, and its failure costs nothing", async () => {
  const { pc, heard, later, stop } = watched([null, unreachable()]);
  window.dispatchEvent(new Event("online"));
  await later(60_000);
  window.dispatchEvent(new Event("online"));
  await later(60_000);
  expect(heard).toEqual(["up", "restart", "restart"]);
  expect(pc.connectionState).toBe("connected");
  stop();
  window.dispatchEvent(new Event("online"));
  await later(1000);
  expect(heard).toHaveLength(3);
});

test("what is not heard any more restarts before the browser says so, and again while it stays so", async () => {
  const { pc, heard, later } = watched([null, null]);
  await later(1000);
  pc.numbers = { ...pc.numbers, requestsSent: 1 };
  await later(3000);
  expect(heard).toEqual(["up"]);
  pc.numbers = { ...pc.numbers, requestsSent: 3 };
  await later(600);
  expect(heard).toEqual(["up", "restart"]);
  await later(1000);
  pc.numbers = { ...pc.numbers, requestsSent: 5 };
  await later(2000);
  expect(heard).toEqual(["up", "restart", "restart"]);
  pc.numbers = { ...pc.numbers, responsesReceived: 5 };
  await later(60_000);
  expect(heard).toHaveLength(3);
});

test("relays are tried where nothing connects for a while", async () => {
  const connecting = Object.assign(new FakePc(), { connectionState: "connecting", iceConnectionState: "checking" });
  const { pc, heard, later } = watched([null], true, connecting, true);
  await later(1400);
  expect(heard).toEqual([]);
  await later(200);
  expect(heard).toEqual(["restart"]);
  pc.become("connected");
  await later(60_000);
  expect(heard).toEqual(["restart", "up"]);
  const quick = watched([], true, new FakePc(), true);
  await quick.later(60_000);
  expect(quick.heard).toEqual(["up"]);
});

test("only another kind of network counts as one", async () => {
  const network = Object.assign(new EventTarget(), { type: "wifi" });
  vi.stubGlobal("navigator", { connection: network });
  const { heard, later } = watched([null]);
  network.dispatchEvent(new Event("change"));
  await later(1000);
  expect(heard).toEqual(["up"]);
  network.type = "cellular";
  network.dispatchEvent(new Event("change"));
  await later(1000);
  expect(heard).toEqual(["up", "restart"]);
});
