// WHEP's server-sent events extension (draft-ietf-wish-whep-02, section "Server Sent Events"): the
// server tells a viewer that the publisher left or is back, which layers there are, how many watch,
// and when to begin a new session. A server without it is no problem: then nothing is heard.

import { authorization, type Link, type Session } from "./resource";

export const EVENTS = "urn:ietf:params:whep:ext:core:server-sent-events";

/** What we have a use for. */
const NAMES = ["active", "inactive", "layers", "viewercount", "reconnect"];

/** One encoding of the video that a viewer can ask for. */
export interface Layer {
  id: string;
  width: number | null;
  height: number | null;
  /** It arrives now. */
  active: boolean;
}

export type WhepEvent =
  | { type: "active" }
  | { type: "inactive" }
  | { type: "layers"; layers: Layer[] }
  | { type: "viewercount"; count: number }
  /** Begin a new session, at `url` if there is one. */
  | { type: "reconnect"; url: string | null };

/** A message of an event stream (WHATWG HTML section 9.2.6). */
export interface Message {
  event: string;
  data: string;
}

/** No message of ours is near to that. */
const MAX_TEXT = 64 * 1024;

/** Text of an event stream in, in whatever pieces it comes; messages out. Pure. */
export class EventParser {
  /** What the stream asks to wait before it is opened again. */
  retryMs = 3000;
  private text = "";
  private event = "";
  private data: string[] = [];

  /** Throws if a message is longer than any that is meant well. */
  push(text: string): Message[] {
    this.text += text;
    const messages: Message[] = [];
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.text);
      if (!end) break;
      const message = this.line(this.text.slice(0, end.index));
      if (message) messages.push(message);
      this.text = this.text.slice(end.index + end[0].length);
    }
    const held = this.data.reduce((sum, line) => sum + line.length, this.text.length);
    if (held > MAX_TEXT) throw new Error("an event without an end");
    return messages;
  }

  private line(line: string): Message | null {
    if (line === "") {
      const message = { event: this.event || "message", data: this.data.join("\n") };
      const empty = this.data.length === 0;
      this.event = "";
      this.data = [];
      return empty ? null : message;
    }
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "retry" && /^\d{1,6}$/.test(value)) this.retryMs = Number(value);
    return null;
  }
}

/** What a message says, or `null` for one that we do not know or cannot read. */
export function meaning({ event, data }: Message): WhepEvent | null {
  let body: unknown;
  try {
    body = JSON.parse(data || "{}");
  } catch {
    return null;
  }
  const field = (key: string) => (body as Record<string, unknown> | null)?.[key];
  switch (event) {
    case "active":
    case "inactive":
      return { type: event };
    case "layers":
      return { type: event, layers: layersOf(body) };
    case "viewercount": {
      const count = field("viewercount");
      return typeof count === "number" && count >= 0 ? { type: event, count } : null;
    }
    case "reconnect": {
      const url = field("url");
      return { type: event, url: typeof url === "string" && /^https?:\/\//i.test(url) ? url : null };
    }
    default:
      return null;
  }
}

/** The layers of the first m-line that has some; several temporal layers of one encoding are one. */
function layersOf(body: unknown): Layer[] {
  const lists = Object.values((body ?? {}) as Record<string, unknown>).map(listOf);
  const found = new Map<string, Layer>();
  for (const layer of lists.find((list) => list.length > 0)?.slice(0, 64) ?? []) {
    // `encodingId` in drafts before -02.
    const id = layer["rid"] ?? layer["encodingId"];
    if (typeof id !== "string") continue;
    const size = (key: string) => (typeof layer[key] === "number" ? (layer[key] as number) : null);
    const active = layer["active"] ?? (size("bitrate") ?? 0) > 0;
    const before = found.get(id);
    found.set(id, {
      id,
      width: size("width") ?? before?.width ?? null,
      height: size("height") ?? before?.height ?? null,
      active: active === true || before?.active === true,
    });
  }
  return [...found.values()];
}

type Entry = Record<string, unknown>;

/** `[…]`, or `{ active: […], inactive: […] }` of older drafts. */
function listOf(line: unknown): Entry[] {
  const both = line as { active?: unknown; inactive?: unknown } | null;
  const all = Array.isArray(line) ? line : [both?.active, both?.inactive].flatMap((list) => (Array.isArray(list) ? list : []));
  return all.filter((one): one is Entry => typeof one === "object" && one !== null);
}

/** How long a stream has to last to count as one that works. */
const STEADY_MS = 5000;
/** Whatever the stream asks for, the server is not asked more often. */
const LEAST_PAUSE_MS = 250;

export interface Listener {
  heard(event: WhepEvent): void;
  /** Whether the stream is open now. */
  open(on: boolean): void;
}

/** Hears a session's events until the result is called. Never fails: without events the player judges by itself. */
export function listen(session: Session, listener: Listener): () => void {
  const over = new AbortController();
  const link = session.links.get(EVENTS);
  if (link) {
    const run = () => follow(session, link, listener, over.signal);
    void withSlot(new URL(link.url).origin, over.signal, run).catch(() => undefined);
  }
  return () => over.abort();
}

async function follow(session: Session, link: Link, { heard, open }: Listener, signal: AbortSignal): Promise<void> {
  const offered = link.parameters.get("events")?.split(/[\s,]+/) ?? NAMES;
  const created = await session.post(EVENTS, NAMES.filter((name) => offered.includes(name)), signal);
  const location = created.headers.get("Location");
  if (location === null) return;
  const url = new URL(location, created.url || link.url).href;
  for (let failures = 0; failures < 5 && !signal.aborted; failures++) {
    const parser = new EventParser();
    let begun = Infinity;
    try {
      const headers = { Accept: "text/event-stream", ...authorization(session.token) };
      const response = await fetch(url, { headers, signal, cache: "no-store" });
      // The session is over, or it was no event stream.
      if (response.status !== 200 || !response.body) return;
      begun = performance.now();
      if (!signal.aborted) open(true);
      await readAll(response.body, parser, (event) => signal.aborted || heard(event));
    } catch {
      // The network, or our own end: the loop knows.
    } finally {
      if (begun < Infinity && !signal.aborted) open(false);
    }
    if (performance.now() - begun > STEADY_MS) failures = 0;
    await pause(Math.max(LEAST_PAUSE_MS, parser.retryMs), signal);
  }
}

async function readAll(body: ReadableStream<Uint8Array<ArrayBuffer>>, parser: EventParser, heard: (event: WhepEvent) => void): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const message of parser.push(value)) {
        const event = meaning(message);
        if (event) heard(event);
      }
    }
  } finally {
    // Left without reading to its end, it would keep the connection.
    void reader.cancel().catch(() => undefined);
  }
}

/** Ends early when `signal` does: whoever pauses holds a slot. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((later) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      later();
    };
    const timer = setTimeout(done, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", done);
  });
}

/** A browser opens six connections to an HTTP/1.1 server; event streams may take so many of them. */
const SLOTS = 4;

/** Waits for one of the slots and runs in it. They hold for all tabs where the browser can do that. */
async function withSlot(origin: string, signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return withSlotOfPage(signal, run);
  // Asks for all of them; the first that comes withdraws the other requests.
  const asking = new AbortController();
  signal.addEventListener("abort", () => asking.abort());
  const ask = (slot: number) =>
    locks.request(`weir.events ${origin} ${slot}`, { signal: asking.signal }, async () => {
      if (asking.signal.aborted) return;
      asking.abort();
      await run();
    });
  await Promise.allSettled(Array.from({ length: SLOTS }, (_, slot) => ask(slot)));
}

let taken = 0;
let waiting: (() => void)[] = [];

async function withSlotOfPage(signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  while (taken >= SLOTS && !signal.aborted) {
    await new Promise<void>((free) => {
      waiting.push(free);
      signal.addEventListener("abort", () => free());
    });
  }
  if (signal.aborted) return;
  taken++;
  try {
    await run();
  } finally {
    taken--;
    // All look again: one of them, or a newcomer, gets it.
    const woken = waiting;
    waiting = [];
    for (const free of woken) free();
  }
}
