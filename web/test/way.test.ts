import { expect, test } from "vitest";
import { NO_COMMON_CODEC, NO_MEDIA_PATH, Problem } from "../src/problem";
import { Chooser, EMPTY_MS, PATIENCE_MS, RETURN_MOST_MS, RETURN_MS, SETTLED_MS, reasonOf, type Via } from "../src/way";

const ABLE = { webrtc: true, hls: true };
const blocked = new Problem("No UDP path to the server", "", 0, 0, NO_MEDIA_PATH);
const full = (seconds = 0) => new Problem("The server is full", "", 503, seconds * 1000, "urn:weir:problem:server-full");
const codec = new Problem("No common codec", "", 406, 0, NO_COMMON_CODEC);
const gone = new Problem("Connection lost", "");
const denied = new Problem("No token", "", 401);

function begun(via: Via = "auto", able = ABLE): Chooser {
  const chooser = new Chooser(via, able);
  chooser.begin();
  return chooser;
}

/** HLS on the screen since `at`, because of `why`. */
function detoured(at: number, why = blocked): Chooser {
  const chooser = begun();
  chooser.lost(at, why, 0);
  chooser.hlsIs(at, "trying", 0);
  chooser.hlsIs(at, "playing", 0);
  return chooser;
}

const run = (chooser: Chooser, now: number) => {
  const { webrtc, hls, show } = chooser.plan(now);
  return [webrtc && "webrtc", hls && "hls"].filter(Boolean).join("+") + `>${show}`;
};

test("WebRTC that works is all there is", () => {
  const chooser = begun();
  expect(run(chooser, 0)).toBe("webrtc>webrtc");
  chooser.answered(200);
  chooser.up(500);
  expect(run(chooser, 500 + PATIENCE_MS)).toBe("webrtc>webrtc");
  chooser.flows(600, true);
  // Nobody publishes for an hour: still no reason for anything else.
  chooser.flows(700, false);
  expect(run(chooser, 3_600_000)).toBe("webrtc>webrtc");
  expect(chooser.plan(3_600_000).wakeAt).toBe(Infinity);
});

test("what each problem means", () => {
  const odd = new Problem("Gone", "", 404);
  expect([blocked, full(), codec, gone, denied, odd, new Problem("", "", 500)].map(reasonOf)).toEqual(["blocked", "full", "codec", "lost", "denied", "refused", "lost"]);
});

test.each([["blocked", blocked], ["full", full()], ["codec", codec]])("%s: HLS begins at once", (_, problem) => {
  const chooser = begun();
  chooser.lost(100, problem, 0);
  expect(run(chooser, 100)).toBe("hls>webrtc");
  chooser.hlsIs(150, "trying", 0);
  expect(run(chooser, 150)).toBe("hls>webrtc");
  chooser.hlsIs(600, "playing", 0);
  expect(run(chooser, 600)).toBe("hls>hls");
});

test("a network that says nothing: HLS begins beside WebRTC, and WebRTC that comes late has the screen", () => {
  const chooser = begun();
  chooser.answered(1000);
  expect(chooser.plan(1000).wakeAt).toBe(1000 + PATIENCE_MS);
  expect(run(chooser, 999 + PATIENCE_MS)).toBe("webrtc>webrtc");
  expect(run(chooser, 1000 + PATIENCE_MS)).toBe("webrtc+hls>webrtc");
  chooser.hlsIs(5000, "trying", 0);
  chooser.up(5200);
  expect(run(chooser, 5200)).toBe("webrtc>webrtc");
});

test("… and one that never comes leaves it to HLS, and tries again later", () => {
  const chooser = begun();
  chooser.answered(0);
  chooser.hlsIs(5000, "playing", 0);
  expect(run(chooser, 5000)).toBe("webrtc+hls>hls");
  chooser.lost(12_000, blocked, 0);
  expect(run(chooser, 12_000)).toBe("hls>hls");
  expect(chooser.dueAt).toBe(12_000 + RETURN_MS);
});

test("back to WebRTC only with its first picture", () => {
  const chooser = detoured(0);
  const due = chooser.dueAt as number;
  expect(due).toBeGreaterThanOrEqual(RETURN_MS);
  expect(run(chooser, due - 1)).toBe("hls>hls");
  expect(run(chooser, due)).toBe("webrtc+hls>hls");
  chooser.answered(due + 100);
  chooser.up(due + 300);
  chooser.flows(due + 400, false);
  expect(run(chooser, due + 400)).toBe("webrtc+hls>hls");
  chooser.flows(due + 500, true);
  expect(run(chooser, due + 500)).toBe("webrtc>webrtc");
  expect(chooser.because).toBeNull();
});

test("a connection without a picture is given up again", () => {
  const chooser = detoured(0, codec);
  const due = chooser.dueAt as number;
  chooser.plan(due);
  chooser.up(due + 100);
  expect(chooser.plan(due + 100).wakeAt).toBe(due + 100 + EMPTY_MS);
  expect(run(chooser, due + 100 + EMPTY_MS)).toBe("hls>hls");
  expect(chooser.dueAt).toBeGreaterThan(due + 100 + EMPTY_MS);
});

test("where HLS shows nothing, WebRTC without a publisher has the stream", () => {
  const chooser = begun();
  chooser.lost(0, full(), 0);
  chooser.hlsIs(10, "idle", 0);
  const due = chooser.dueAt as number;
  expect(due).toBe(1000);
  expect(run(chooser, due)).toBe("webrtc+hls>webrtc");
  chooser.up(due + 300);
  expect(run(chooser, due + 300)).toBe("webrtc>webrtc");
});

test("tries to go back get rarer, and a network that changes is tried at once", () => {
  const chooser = detoured(0);
  const waits = [];
  let now = 0;
  for (let i = 0; i < 8; i++) {
    const due = chooser.dueAt as number;
    waits.push(due - now);
    chooser.plan(due);
    now = due + 12_000;
    chooser.lost(now, blocked, 0);
    expect(run(chooser, now)).toBe("hls>hls");
  }
  expect(waits.slice(0, 3)).toEqual([RETURN_MS, 2 * RETURN_MS, 4 * RETURN_MS]);
  expect(Math.max(...waits)).toBe(RETURN_MOST_MS);
  chooser.changed(now + 5);
  expect(run(chooser, now + 5)).toBe("webrtc+hls>hls");
  chooser.lost(now + 10, blocked, 0);
  expect(chooser.dueAt).toBe(now + 10 + RETURN_MS);
});

test("the server's own wait is kept", () => {
  const chooser = begun();
  chooser.lost(0, full(30), 0);
  expect(chooser.dueAt).toBe(30_000);
});

test("WebRTC that comes and goes does not begin with short waits each time", () => {
  const chooser = detoured(0);
  const flap = (lasted: number) => {
    const due = chooser.dueAt as number;
    chooser.plan(due);
    chooser.up(due);
    chooser.flows(due, true);
    chooser.hlsIs(due, "off", 0);
    chooser.flows(due + lasted, true);
    chooser.lost(due + lasted, blocked, 0);
    chooser.hlsIs(due + lasted, "playing", 0);
    return (chooser.dueAt as number) - due - lasted;
  };
  expect(flap(5000)).toBe(2 * RETURN_MS);
  expect(flap(5000)).toBe(4 * RETURN_MS);
  expect(flap(SETTLED_MS)).toBe(RETURN_MS);
});

test("a lost connection or server is tried again by WebRTC alone", () => {
  const chooser = begun();
  chooser.up(0);
  chooser.flows(0, true);
  chooser.lost(5000, gone, 0);
  expect(run(chooser, 5000)).toBe(">webrtc");
  expect(chooser.plan(5000).wakeAt).toBe(6000);
  expect(run(chooser, 6000)).toBe("webrtc>webrtc");
  // UDP is blocked from now on.
  chooser.answered(6100);
  chooser.lost(18_000, blocked, 0);
  expect(run(chooser, 18_000)).toBe("hls>webrtc");
  // A server that restarts does not end what is on its way by HLS.
  chooser.hlsIs(18_100, "idle", 0);
  chooser.lost(19_500, gone, 0);
  expect(run(chooser, 19_500)).toContain("hls");
});

test("without a token there is nothing to try", () => {
  const chooser = begun();
  chooser.lost(0, denied, 0);
  expect(run(chooser, 1e9)).toBe(">webrtc");
  expect(chooser.dueAt).toBeNull();
});

test("a token that runs out for WebRTC does not stop what plays", () => {
  const chooser = detoured(0);
  chooser.plan(chooser.dueAt as number);
  chooser.lost(20_000, denied, 0);
  expect(run(chooser, 20_000)).toBe("hls>hls");
  expect(run(chooser, 1e9)).toBe("hls>hls");
});

test("one way only, as the address says", () => {
  const only = begun("webrtc");
  only.answered(0);
  expect(run(only, 60_000)).toBe("webrtc>webrtc");
  only.lost(60_000, blocked, 0);
  expect(run(only, 60_000)).toBe(">webrtc");
  expect(only.dueAt).toBe(61_000);

  const hls = begun("hls");
  for (const state of ["trying", "idle", "playing", "idle"] as const) {
    hls.hlsIs(0, state, 0);
    expect(run(hls, 1e6)).toBe("hls>hls");
  }
  expect(hls.dueAt).toBeNull();
});

test("a browser without WebRTC, and a server without HLS", () => {
  expect(run(begun("auto", { webrtc: false, hls: true }), 0)).toBe("hls>hls");
  const chooser = begun("auto", { webrtc: true, hls: false });
  chooser.lost(0, full(), 0);
  expect(run(chooser, 0)).toBe(">webrtc");
  expect(run(chooser, 1000)).toBe("webrtc>webrtc");
});
