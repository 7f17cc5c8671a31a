import { expect, test } from "vitest";
import { orderOf } from "../src/messages";
import { problemOf } from "../src/problem";
import { noPath } from "../src/connection";
import { whyNot, wordsFor } from "../src/ui/words";
import { embedOptions } from "../src/url";

test("orders of the page around, and nothing else", () => {
  const order = (rest: object) => orderOf({ target: "weir", ...rest });
  for (const type of ["play", "pause", "stop", "mute", "unmute", "report"]) expect(order({ type })).toEqual({ type });
  expect(order({ type: "layer", layer: "h" })).toEqual({ type: "layer", layer: "h" });
  expect(order({ type: "layer", layer: null })).toEqual({ type: "layer", layer: null });
  expect(order({ type: "layer" })).toEqual({ type: "layer", layer: null });
  expect(order({ type: "volume", volume: 0.5 })).toEqual({ type: "volume", volume: 0.5 });
  for (const bad of [{ type: "volume", volume: 2 }, { type: "volume", volume: NaN }, { type: "layer", layer: {} }, { type: "layer", layer: "x".repeat(65) }, { type: "eval" }, {}]) {
    expect(order(bad)).toBeNull();
  }
  for (const other of [null, "play", 7, [], { type: "play" }, { target: "else", type: "play" }]) expect(orderOf(other)).toBeNull();
});

test("what the address of /embed sets", () => {
  const options = (query: string) => embedOptions(new URLSearchParams(query));
  expect(options("")).toEqual({ muted: true, controls: true, autoplay: true, poster: null, via: "auto", layer: null, background: null });
  expect(options("muted=0&controls=0&autoplay=0&layer=h&poster=https://a.test/x.jpg&background=FFF")).toEqual({
    muted: false, controls: false, autoplay: false, layer: "h", poster: "https://a.test/x.jpg", background: "#fff", via: "auto",
  });
  expect(["hls", "WebRTC", "pigeon", ""].map((via) => options(`via=${via}`).via)).toEqual(["hls", "webrtc", "auto", "auto"]);
  for (const [text, colour] of [["%23102030", "#102030"], ["10203040", "#10203040"], ["transparent", "transparent"], ["red;x", null], ["url(x)", null], ["12345", null]]) {
    expect(options(`background=${text}`).background).toBe(colour);
  }
  for (const [text, poster] of [["/p.png", "/p.png"], ["//evil.test/p", null], ["javascript:alert(1)", null], ["data:image/png;base64,AA", null]]) {
    expect(options(`poster=${text}`).poster).toBe(poster);
  }
  expect(options("layer=a b").layer).toBeNull();
});

test("a full server says so, when to come again, and where else the stream is", async () => {
  const body = { type: "urn:weir:problem:full", title: "The server is full", status: 503, detail: "10000 watch", alternatives: [{ type: "hls", url: "/live/x/index.m3u8" }] };
  const problem = await problemOf(new Response(JSON.stringify(body), { status: 503, headers: { "Retry-After": "7" } }));
  expect(problem).toMatchObject({ title: "The server is full", temporary: true, retryAfterMs: 7000, alternatives: body.alternatives });
  const plain = await problemOf(new Response("busy", { status: 503 }));
  expect(plain.alternatives).toEqual([]);
});

test("a publisher who is gone is said at once, in the words that are known", () => {
  const known = { why: "", interrupted: false };
  const waiting = { state: "waiting", media: "nothing", problem: null, publisher: null, via: "auto" } as const;
  expect(wordsFor(waiting, known)?.title).toBe("Waiting for the publisher");
  expect(wordsFor({ ...waiting, publisher: "gone" }, known)?.title).toBe("The publisher has left or is interrupted");
  expect(wordsFor({ ...waiting, publisher: "gone" }, { ...known, interrupted: true })?.title).toBe("The publisher is interrupted");
  expect(wordsFor({ ...waiting, state: "playing", media: "video" }, known)).toBeNull();
});

test("without a path for media it is said what was tried, why HLS plays, and when WebRTC is tried again", () => {
  const line = (protocol: string) => `a=candidate:1 1 ${protocol} 1 192.0.2.7 8080 typ host\r\n`;
  const udp = noPath(line("udp"));
  expect(udp).toMatchObject({ title: "No UDP path to the server", temporary: true });
  expect(udp.detail).toContain("Tried: UDP port 8080 of 192.0.2.7. ");
  expect(udp.detail).toContain("offers no TCP (webrtc.tcp)");
  const both = noPath(line("udp") + line("tcp"));
  expect(both.title).toBe("No UDP or TCP path to the server");
  expect(both.detail).toContain("Tried: UDP port 8080 of 192.0.2.7; TCP port 8080 of 192.0.2.7. ");
  expect(both.detail).not.toContain("webrtc.tcp)");
  expect(whyNot(null, 9_000, 0)).toBe("");
  expect(whyNot(both, null, 0)).toBe(both.title);
  expect(whyNot(both, 9_001, 1_500)).toBe(`${both.title}; tried again in 8 s`);
  expect(whyNot(both, 9_000, 9_000)).toBe(`${both.title}; tried again now`);
});
