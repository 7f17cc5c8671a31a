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

const deaf = { heard: () => {}, open: () => {} };

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
  const open: boolean[] = [];
  listen(session, { heard: (event) => void heard.push(event), open: (on) => void open.push(on) });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(calls).toHaveLength(5);
  expect(open).toEqual([true, false, true, false]);
  expect(heard).toEqual([{ type: "active" }, { type: "inactive" }]);
  expect(calls[0]?.[0]).toBe("http://weir.test/s/events");
  expect(calls[0]?.[1]).toMatchObject({ method: "POST", body: '["active","inactive","viewercount"]' });
  expect(calls[1]?.[0]).toBe("http://weir.test/s/events/1");
  expect(calls[1]?.[1].headers).toMatchObject({ Accept: "text/event-stream", Authorization: "Bearer secret" });
});

test("a server without events, or one that refuses them, is no failure", async () => {
  const none = served([], "</s/layer>; rel=layer");
  listen(none.session, deaf);
  const refused = served([new Response("no", { status: 404 })]);
  listen(refused.session, deaf);
  await vi.waitFor(() => expect(refused.calls).toHaveLength(1));
  expect(none.calls).toHaveLength(0);
});

test("a stream that ends at once is not opened for ever, nor in haste", async () => {
  const { calls, session } = served([new Response(null, { status: 201, headers: { Location: "/s/events/1" } }), ...Array.from({ length: 9 }, () => stream("retry: 0\n\n"))]);
  vi.useFakeTimers();
  listen(session, deaf);
  await vi.advanceTimersByTimeAsync(200);
  expect(calls).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(calls).toHaveLength(6);
});

/** The module anew: slots that this test takes are no other test's. */
async function fresh(): Promise<typeof listen> {
  vi.resetModules();
  return (await import("../src/events")).listen;
}

/** A server that never answers, until the request is given up. */
function silent() {
  const { session } = served([]);
  const urls: string[] = [];
  vi.stubGlobal("fetch", (url: string, { signal }: RequestInit) => {
    urls.push(url);
    return new Promise((_, fail) => signal?.addEventListener("abort", () => fail(new Error("aborted"))));
  });
  return { urls, session };
}

const turn = () => new Promise((later) => setTimeout(later));

test("event streams leave a server's connections to others, and the next in line gets what is free again", async () => {
  const listen = await fresh();
  const { urls, session } = silent();
  const ends = Array.from({ length: 6 }, () => listen(session, deaf));
  await turn();
  expect(urls).toHaveLength(4);
  ends[4]?.();
  ends[0]?.();
  await turn();
  expect(urls).toHaveLength(5);
  for (const end of ends) end();
  await turn();
  expect(urls).toHaveLength(5);
});

/** `navigator.locks` as far as it is used: exclusive, first come first served, withdrawn by a signal. */
function fakeLocks() {
  const queues = new Map<string, (() => Promise<void>)[]>();
  const request = (name: string, { signal }: { signal: AbortSignal }, run: () => Promise<void>) =>
    new Promise<void>((done, fail) => {
      const queue = queues.get(name) ?? [];
      queues.set(name, queue);
      const granted = async () => {
        signal.removeEventListener("abort", withdraw);
        await run().then(done, fail);
        queue.shift();
        void queue[0]?.();
      };
      const withdraw = () => {
        queue.splice(queue.indexOf(granted), 1);
        fail(new Error("withdrawn"));
      };
      signal.addEventListener("abort", withdraw);
      if (queue.push(granted) === 1) queueMicrotask(() => void granted());
    });
  return { request, held: () => [...queues.values()].filter((queue) => queue.length > 0).length };
}

test("with locks too: four at a time, and whoever waits takes the first that is free", async () => {
  const { urls, session } = silent();
  const locks = fakeLocks();
  vi.stubGlobal("navigator", { locks });
  const ends: (() => void)[] = [];
  for (let player = 0; player < 6; player++) {
    ends.push(listen(session, deaf));
    await turn();
  }
  expect(urls).toHaveLength(4);
  ends[4]?.();
  ends[2]?.();
  await turn();
  expect(urls).toHaveLength(5);
  for (const end of ends) end();
  await turn();
  expect([urls.length, locks.held()]).toEqual([5, 0]);
});

test("a slot is free at once when its session ends, also while it waits to open the stream again", async () => {
  const listen = await fresh();
  const { urls, session } = silent();
  const others = Array.from({ length: 3 }, () => listen(session, deaf));
  const { session: broken } = served([new Response(null, { status: 201, headers: { Location: "/s/events/1" } }), new TypeError("network")]);
  const end = listen(broken, deaf);
  await turn();
  const { urls: later, session: next } = silent();
  others.push(listen(next, deaf));
  await turn();
  expect([urls.length, later.length]).toEqual([3, 0]);
  end();
  await turn();
  expect(later).toHaveLength(1);
  for (const each of others) each();
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
