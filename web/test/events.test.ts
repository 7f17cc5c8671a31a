import { afterEach, expect, test, vi } from "vitest";
import { EventParser, EVENTS, listen, meaning, type WhepEvent } from "../src/events";
import { Flow } from "../src/flow";
import { parseLinks, Session } from "../src/resource";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const STREAM = [
  ": hello\n\n",
  "retry: 1500\n",
  "event: active\ndata: {}\n\n",
  "event: viewercount\r\ndata: {\"viewercount\":3}\r\n\r\n",
  "event: odd\rdata: 1\rdata: 2\r\rdata\n\nid: 7\nevent: inactive\ndata: {}\n\n",
  "event: never ended\ndata: {}",
].join("");

const MEANT = [
  { event: "active", data: "{}" },
  { event: "viewercount", data: '{"viewercount":3}' },
  { event: "odd", data: "1\n2" },
  { event: "message", data: "" },
  { event: "inactive", data: "{}" },
];

test("an event stream is the same in whatever pieces it comes", () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new EventParser();
    const messages = [];
    for (let at = 0; at < STREAM.length; at += size) messages.push(...parser.push(STREAM.slice(at, at + size)));
    expect(messages).toEqual(MEANT);
    expect(parser.retryMs).toBe(1500);
  }
});

test("a message without an end is not collected for ever", () => {
  const parser = new EventParser();
  expect(() => {
    for (let i = 0; i < 100; i++) parser.push(`data: ${"x".repeat(1000)}\n`);
  }).toThrow();
  expect(() => new EventParser().push("x".repeat(100_000))).toThrow();
});

test("what the events mean", () => {
  const says = (event: string, data: unknown) => meaning({ event, data: typeof data === "string" ? data : JSON.stringify(data) });
  expect(says("active", {})).toEqual({ type: "active" });
  expect(says("inactive", "")).toEqual({ type: "inactive" });
  expect(says("viewercount", { viewercount: 3 })).toEqual({ type: "viewercount", count: 3 });
  expect(says("reconnect", {})).toEqual({ type: "reconnect", url: null });
  expect(says("reconnect", { url: "https://b.test/whep/x" })).toEqual({ type: "reconnect", url: "https://b.test/whep/x" });
  for (const url of ["javascript:alert(1)", "/whep/x", 7]) expect(says("reconnect", { url })).toEqual({ type: "reconnect", url: null });
  for (const [event, data] of [["viewercount", { viewercount: "3" }], ["viewercount", null], ["layers", "{"], ["scte35", "x"], ["message", {}]] as const) {
    expect(says(event, data)).toBeNull();
  }
});

test("layers, in the newest shape and in older ones", () => {
  const layers = (data: unknown) => {
    const event = meaning({ event: "layers", data: JSON.stringify(data) });
    return event?.type === "layers" ? event.layers : null;
  };
  expect(
    layers({
      "0": [
        { rid: "f", targetBitrate: 2e6, width: 1280, height: 720 },
        { rid: "h", temporalLayerId: 1, bitrate: 500000, width: 640, height: 360 },
        { rid: "h", temporalLayerId: 0, bitrate: 0 },
        { spatialLayerId: 1 },
        null,
      ],
    }),
  ).toEqual([
    { id: "f", width: 1280, height: 720, active: false },
    { id: "h", width: 640, height: 360, active: true },
  ]);
  expect(layers({ "0": [], "1": { active: [{ encodingId: "a", bitrate: 1 }], inactive: [{ encodingId: "b" }] } })).toEqual([
    { id: "a", width: null, height: null, active: true },
    { id: "b", width: null, height: null, active: false },
  ]);
  for (const nothing of [null, [], {}, { "0": 3 }, "x", { "0": [[]] }]) expect(layers(nothing)).toEqual([]);
});

/** A session whose server announces events, and what was asked of it. */
function served(answers: (Response | Error)[], link = `</s/events>; rel="${EVENTS}"; events="active,inactive,viewercount"`) {
  const calls: [string, RequestInit][] = [];
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push([url, init]);
    const answer = answers.shift();
    if (!answer || answer instanceof Error) throw answer ?? new TypeError("no more");
    return answer;
  });
  return { calls, session: new Session("http://weir.test/s", parseLinks(link, "http://weir.test/whep/x"), "secret") };
}

const stream = (text: string) => new Response(text, { headers: { "Content-Type": "text/event-stream" } });

test("asks for what is announced, follows the stream, and opens it again when it breaks", async () => {
  const { calls, session } = served([
    new Response(null, { status: 201, headers: { Location: "/s/events/1" } }),
    stream("retry: 0\nevent: active\ndata: {}\n\n"),
    new TypeError("network"),
    stream("event: inactive\ndata: {}\n\n"),
    new Response(null, { status: 404 }),
  ]);
  const heard: WhepEvent[] = [];
  vi.useFakeTimers();
  listen(session, (event) => heard.push(event));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(calls).toHaveLength(5);
  expect(heard).toEqual([{ type: "active" }, { type: "inactive" }]);
  expect(calls[0]?.[0]).toBe("http://weir.test/s/events");
  expect(calls[0]?.[1]).toMatchObject({ method: "POST", body: '["active","inactive","viewercount"]' });
  expect(calls[1]?.[0]).toBe("http://weir.test/s/events/1");
  expect(calls[1]?.[1].headers).toMatchObject({ Accept: "text/event-stream", Authorization: "Bearer secret" });
});

test("a server without events, or one that refuses them, is no failure", async () => {
  const none = served([], "</s/layer>; rel=layer");
  listen(none.session, () => {});
  const refused = served([new Response("no", { status: 404 })]);
  listen(refused.session, () => {});
  await vi.waitFor(() => expect(refused.calls).toHaveLength(1));
  expect(none.calls).toHaveLength(0);
});

test("event streams leave a server's connections to others", async () => {
  const { calls, session } = served([]);
  vi.stubGlobal("fetch", (url: string) => (calls.push([url, {}]), new Promise(() => {})));
  for (let player = 0; player < 9; player++) listen(session, () => {});
  await new Promise((later) => setTimeout(later));
  expect(calls).toHaveLength(4);
});

test("after the server's word that the publisher is gone, leftovers are no media", () => {
  const flow = new Flow();
  const at = (frames: number) => ({ frames, videoPackets: frames * 3, audioPackets: frames });
  expect(flow.sample(0, at(100))).toBe("video");
  flow.ended(100);
  expect(flow.sample(300, at(104))).toBe("nothing");
  expect(flow.sample(700, at(106))).toBe("nothing");
  expect(flow.sample(1300, at(106))).toBe("nothing");
  // It was wrong, or somebody else took over: what comes counts.
  expect(flow.sample(1800, at(107))).toBe("video");
  flow.ended(2000);
  flow.begun();
  expect(flow.sample(2100, at(108))).toBe("video");
});
