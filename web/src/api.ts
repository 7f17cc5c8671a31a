// The server's JSON API (/api/v1) as far as the pages read it. Fields are those of
// `server/src/status.rs`; a field that is missing shows as nothing, never as an error.

import { Problem, problemOf, unreachable } from "./problem";
import { authorization } from "./resource";

export type StreamState = "idle" | "starting" | "live" | "interrupted" | "ended" | "failed";

export interface Encoding {
  id: string;
  /** `bridge`: made by this server of another one, for those who cannot take that. */
  origin?: string;
  width: number | null;
  height: number | null;
  fps: number;
  bitrate_bps: number;
  lost: number;
  active: boolean;
  keyframe_interval_ms?: number | null;
  b_frames?: boolean;
}

export type Track =
  | { kind: "video"; codec: string; encodings: Encoding[] }
  | { kind: "audio"; codec: string; channels: number; sample_rate: number; bitrate_bps: number };

export interface Publisher {
  protocol: string;
  since: string;
  address: string;
  user_agent: string | null;
  /** The short id of its session. */
  session?: string;
}

/** What is made of a track for those who cannot take it as it comes. */
export interface Bridge {
  from: string;
  to: string;
  /** For whom, or what of. */
  why: string;
  state?: string;
}

export interface Stream {
  name: string;
  state: StreamState;
  publisher: Publisher | null;
  tracks: Track[];
  viewers: Record<string, number>;
  bridges?: Bridge[];
  warnings: { code: string; text: string }[];
}

export interface Server {
  version: string;
  uptime_seconds: number | null;
  listeners?: { key: string; address: string }[];
}

/** One viewer of a stream. */
export interface Viewer {
  session: string;
  protocol: string;
  since: string;
  address: string;
  user_agent: string | null;
  state: string;
  layer: string | null;
  wanted_layer: string | null;
  bitrate_bps: number;
  loss: number | null;
  rtt_ms: number | null;
  problem: string | null;
}

/** What a stream was like in one interval. */
export interface Sample {
  at: string;
  publisher_bitrate_bps: number | null;
  publisher_lost: number | null;
  viewers: number | null;
  viewers_bitrate_bps: number | null;
  viewers_loss: number | null;
  viewers_rtt_ms: number | null;
  /** Viewers by encoding. */
  layers: Record<string, number> | null;
}

export interface History {
  interval_ms: number;
  /** Oldest first. */
  samples: Sample[];
}

/** What is known of one session; with the numbers of a viewer's row, where it is one. */
export interface SessionStatus {
  session: string;
  stream: string;
  role: "publisher" | "viewer";
  protocol: string;
  since: string;
  address: string;
  user_agent: string | null;
  state: string;
  ended?: string | null;
  ended_because?: string | null;
  /** Of a publisher. */
  tracks?: Track[];
  transport?: { local?: string | null; remote?: string | null; srtp?: string | null } | null;
  [more: string]: unknown;
}

export interface Health {
  ok: boolean;
  problems: { code: string; text: string }[];
}

export interface Logs {
  entries: { at: string; code: string; text: string }[];
}

/** A request that hangs would end the polling without a word. */
const LIMIT_MS = 10_000;

/** GETs `/api/v1/{path}`. Throws a `Problem`. */
async function get(path: string, token: string | null): Promise<unknown> {
  const response = await ask("GET", path, token);
  return response.json().catch((error: unknown) => {
    throw error instanceof SyntaxError ? new Problem("Not understood", "The server's answer is no JSON.", response.status) : unreachable();
  });
}

async function ask(method: string, path: string, token: string | null): Promise<Response> {
  const response = await fetch(`/api/v1/${path}`, {
    method,
    headers: { Accept: "application/json", ...authorization(token) },
    cache: "no-store",
    signal: AbortSignal.timeout(LIMIT_MS),
  }).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** A part of the API that an older server has not: `null` for 404. */
async function maybe<T>(path: string, token: string | null): Promise<T | null> {
  return get(path, token).then(
    (body) => body as T,
    (error: unknown) => {
      if (error instanceof Problem && error.status === 404) return null;
      throw error;
    },
  );
}

export async function getStreams(token: string | null): Promise<Stream[]> {
  const body = (await get("streams", token)) as Stream[] | { streams: Stream[] };
  return Array.isArray(body) ? body : body.streams;
}

export async function getStream(name: string, token: string | null): Promise<Stream> {
  return (await get(`streams/${encodeURIComponent(name)}`, token)) as Stream;
}

export async function getViewers(name: string, token: string | null): Promise<Viewer[]> {
  return (await maybe<Viewer[]>(`streams/${encodeURIComponent(name)}/viewers`, token)) ?? [];
}

export function getHistory(name: string, token: string | null): Promise<History | null> {
  return maybe(`streams/${encodeURIComponent(name)}/history`, token);
}

/** Everything about one session; a part is `null` where the server knows nothing of it. */
export async function getSession(id: string, token: string | null): Promise<[SessionStatus | null, Health | null, Logs | null]> {
  const at = `sessions/${encodeURIComponent(id)}`;
  return Promise.all([
    maybe<SessionStatus>(`${at}/status`, token),
    maybe<Health>(`${at}/health`, token),
    maybe<Logs>(`${at}/logs`, token),
  ]);
}

export async function kickPublisher(name: string, token: string | null): Promise<void> {
  await ask("DELETE", `streams/${encodeURIComponent(name)}/publisher`, token);
}

export async function kickSession(id: string, token: string | null): Promise<void> {
  await ask("DELETE", `sessions/${encodeURIComponent(id)}`, token);
}

export async function getServer(token: string | null): Promise<Server> {
  return (await get("server", token)) as Server;
}

/** Whether the server takes work: `/readyz`. `null` if it does not answer. */
export async function getReady(): Promise<boolean | null> {
  return fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) }).then(
    // Not found: it is kept on a listener of its own, and something answers here.
    (response) => response.ok || response.status === 404,
    () => null,
  );
}

/** What the publisher itself sends of the video track, best first. */
export function sourceEncodings(stream: Pick<Stream, "tracks">): Encoding[] {
  return videoEncodings(stream).filter(({ origin }) => origin !== "bridge");
}

/** All encodings of the video track, best first. */
export function videoEncodings(stream: Pick<Stream, "tracks">): Encoding[] {
  const video = stream.tracks.find((track) => track.kind === "video");
  return video?.kind === "video" ? video.encodings : [];
}

export function viewerCount(stream: Stream): number {
  return Object.values(stream.viewers).reduce((sum, count) => sum + count, 0);
}
