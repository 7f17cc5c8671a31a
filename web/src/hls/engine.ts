// What plays a playlist on a media element: hls.js where the browser has Media Source Extensions
// (`hlsjs.ts`, a chunk of its own that is loaded when it is needed), else the browser itself (`native.ts`).

import type { Layer } from "../events";
import type { Problem } from "../problem";
import type { ServerClock } from "./clock";

export interface EngineEvents {
  /** It will not go on. */
  lost(problem: Problem): void;
  /** The stream has ended and was played to its end. */
  ended(): void;
  /** Another publisher's pictures begin: what was late before was not the network's fault. */
  renewed(): void;
  /** Something of it is another. */
  changed(): void;
}

/** Where in the stream it is, in seconds of the media element. */
export interface Reach {
  /** The oldest that can still be had. */
  start: number;
  /** The end of what the server has. */
  end: number;
  /** How far behind the end the server wants its players. */
  holdBack: number;
}

export interface Engine {
  reach(): Reach | null;
  /** When the picture that is shown was made, in ms since 1970 of the server's clock; `null`: not known. */
  playingDate(): number | null;
  /** Best first. */
  readonly layers: Layer[];
  /** The one that was asked for; `null`: it chooses by itself. */
  choose(layer: string | null): void;
  /** What is being played. */
  facts(): Facts;
  /** Leaves the media element. */
  close(): void;
}

export interface Facts {
  videoCodec: string;
  audioCodec: string;
  videoBps: number;
  audioBps: number;
}

export interface Start {
  video: HTMLVideoElement;
  url: string;
  /** Goes behind the address as `?token=`; the server passes it on in the playlists where it is needed. */
  token: string | null;
  clock: ServerClock;
  events: EngineEvents;
}

/** `avc1.64001f` is `H264`: named as WebRTC's statistics name it. */
export function codecName(codec: string): string {
  const known: [RegExp, string][] = [
    [/^avc[13]/, "H264"],
    [/^(hvc|hev)1/, "H265"],
    [/^av01/, "AV1"],
    [/^vp0?9/, "VP9"],
    [/^mp4a/, "AAC"],
    [/^opus$/i, "Opus"],
  ];
  return known.find(([pattern]) => pattern.test(codec))?.[1] ?? codec;
}

/** `url` with the token, unless it has one. */
export function withToken(url: string, token: string | null): string {
  if (token === null) return url;
  const address = new URL(url);
  if (!address.searchParams.has("token")) address.searchParams.set("token", token);
  return address.href;
}
