// The server's JSON API (/api/v1) as far as the pages read it. Fields are those of
// `server/src/status.rs`; a field that is missing shows as nothing, never as an error.

import { problemOf, unreachable } from "./problem";
import { authorization } from "./resource";

export type StreamState = "idle" | "starting" | "live" | "interrupted" | "ended" | "failed";

export interface Encoding {
  id: string;
  width: number | null;
  height: number | null;
  fps: number;
  bitrate_bps: number;
  lost: number;
  active: boolean;
}

export type Track =
  | { kind: "video"; codec: string; encodings: Encoding[] }
  | { kind: "audio"; codec: string; channels: number; sample_rate: number; bitrate_bps: number };

export interface Stream {
  name: string;
  state: StreamState;
  publisher: { protocol: string; since: string; address: string; user_agent: string | null } | null;
  tracks: Track[];
  viewers: Record<string, number>;
  warnings: { code: string; text: string }[];
}

export interface Server {
  version: string;
  uptime_seconds: number | null;
}

/** GETs `/api/v1/{path}`. Throws a `Problem`. */
async function get(path: string, token: string | null): Promise<unknown> {
  const response = await fetch(`/api/v1/${path}`, {
    headers: { Accept: "application/json", ...authorization(token) },
    cache: "no-store",
  }).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

export async function getStreams(token: string | null): Promise<Stream[]> {
  const body = (await get("streams", token)) as Stream[] | { streams: Stream[] };
  return Array.isArray(body) ? body : body.streams;
}

export async function getStream(name: string, token: string | null): Promise<Stream> {
  return (await get(`streams/${encodeURIComponent(name)}`, token)) as Stream;
}

export async function getServer(token: string | null): Promise<Server> {
  return (await get("server", token)) as Server;
}

/** Whether the server takes work: `/readyz`. `null` if it does not answer. */
export async function getReady(): Promise<boolean | null> {
  return fetch("/readyz", { cache: "no-store" }).then(
    // Not found: it is kept on a listener of its own, and something answers here.
    (response) => response.ok || response.status === 404,
    () => null,
  );
}

/** The encodings of the video track, best first. */
export function videoEncodings(stream: Stream): Encoding[] {
  const video = stream.tracks.find((track) => track.kind === "video");
  return video?.kind === "video" ? video.encodings : [];
}

export function viewerCount(stream: Stream): number {
  return Object.values(stream.viewers).reduce((sum, count) => sum + count, 0);
}
