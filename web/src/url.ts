// What addresses mean: which stream a page is for, where its WHIP and WHEP endpoints are, and what
// the query asks. Pure; nothing here reads `location`.

import type { Via } from "./way";

/** Why `name` is no stream name, or `null` if it is one: 1-128 of `A-Z a-z 0-9 . _ ~ -`. */
export function nameProblem(name: string): string | null {
  if (name.length === 0) return "Give the stream a name.";
  if (name.length > 128) return "A stream name has at most 128 characters.";
  const bad = /[^A-Za-z0-9._~-]/u.exec(name);
  if (bad) {
    const shown = bad[0] === " " ? "a space" : `“${bad[0]}”`;
    return `A stream name is made of letters, digits and . _ ~ - only: ${shown} cannot be in it.`;
  }
  // A browser would resolve these as path segments and never ask for them.
  if (name === "." || name === "..") return "A stream name cannot be only dots.";
  return null;
}

/** The stream of `/watch/{stream}` and its like, or `null`. */
export function streamFromPath(path: string): string | null {
  const segment = /^\/[a-z]+\/([^/]+)\/?$/.exec(path)?.[1];
  if (segment === undefined) return null;
  try {
    const name = decodeURIComponent(segment);
    return nameProblem(name) === null ? name : null;
  } catch {
    return null;
  }
}

/** Where things are for one stream; every address absolute. */
export interface StreamUrls {
  whip: string;
  whep: string;
  publish: string;
  watch: string;
  embed: string;
}

export function streamUrls(origin: string, stream: string): StreamUrls {
  const at = (what: string) => `${origin}/${what}/${encodeURIComponent(stream)}`;
  return {
    whip: at("whip"),
    whep: at("whep"),
    publish: at("publish"),
    watch: at("watch"),
    embed: at("embed"),
  };
}

/** The LL-HLS address of the stream that a Weir gives by WHEP at `whep`, or `null` if that is no address of a Weir. */
export function hlsOf(whep: string): string | null {
  const address = new URL(whep);
  const [, before, stream] = /^(.*)\/whep\/([^/]+)$/.exec(address.pathname) ?? [];
  return stream === undefined ? null : `${address.origin}${before}/live/${stream}/index.m3u8`;
}

/**
 * Where encoders publish by RTMP: what OBS calls the server. `null` if this server takes none; at the
 * usual port if it is not known.
 */
export function rtmpServer(hostname: string, server: { listeners?: { key: string; address: string }[] } | null): string | null {
  const listener = server?.listeners?.find((one) => one.key === "rtmp.listen");
  if (server?.listeners && !listener) return null;
  const port = listener ? /:(\d+)$/.exec(listener.address)?.[1] : "1935";
  // 1935 is what encoders take when no port is said.
  return `rtmp://${hostname}${port === undefined || port === "1935" ? "" : `:${port}`}/live`;
}

/** True for hosts that the browser calls a secure context without TLS, and the server its own machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    /^127(\.\d{1,3}){3}$/.test(hostname) ||
    hostname === "[::1]"
  );
}

/** `1`, `true`, `yes`, `on` and the bare key are true; `0`, `false`, `no`, `off` false; else the default. */
export function flag(query: URLSearchParams, key: string, otherwise: boolean): boolean {
  const value = query.get(key)?.toLowerCase();
  if (value === undefined) return otherwise;
  if (["", "1", "true", "yes", "on"].includes(value)) return true;
  if (["0", "false", "no", "off"].includes(value)) return false;
  return otherwise;
}

export type VideoSource = "camera" | "screen" | "none";
export type CodecChoice = "auto" | "h264" | "vp8" | "vp9" | "av1";
/** What gives way first when the encoder or the network cannot keep up. */
export type Preference = "balanced" | "resolution" | "motion";

/** What `/publish/{stream}?…` can set; the same fields as the form has. */
export interface PublishOptions {
  video: VideoSource;
  audio: boolean;
  width: number;
  height: number;
  fps: number;
  codec: CodecChoice;
  simulcast: boolean;
  /** kbit/s of the highest layer; 0 leaves it to the browser. */
  bitrate: number;
  /** Stereo without voice processing. */
  music: boolean;
  prefer: Preference;
  /** Start at once. */
  auto: boolean;
}

export function publishOptions(query: URLSearchParams): PublishOptions {
  return {
    video: oneOf(query.get("video"), ["camera", "screen", "none"], "camera"),
    audio: flag(query, "audio", true),
    width: whole(query.get("width"), 16, 7680, 1280),
    height: whole(query.get("height"), 16, 4320, 720),
    fps: whole(query.get("fps"), 1, 120, 30),
    codec: oneOf(query.get("codec")?.toLowerCase(), ["auto", "h264", "vp8", "vp9", "av1"], "auto"),
    simulcast: flag(query, "simulcast", false),
    bitrate: whole(query.get("bitrate"), 0, 100_000, 2500),
    music: flag(query, "music", false) || flag(query, "stereo", false),
    prefer: oneOf(query.get("prefer"), ["balanced", "resolution", "motion"], "balanced"),
    auto: flag(query, "auto", false),
  };
}

/** What `/embed/{stream}?…` can set. */
export interface EmbedOptions {
  muted: boolean;
  controls: boolean;
  autoplay: boolean;
  /** Address of an image until the first picture, or `null`. */
  poster: string | null;
  /** An encoding's id, or `null`: the highest. */
  layer: string | null;
  /** A CSS colour behind the picture, or `null`: nearly black. */
  background: string | null;
  /** `auto`: WebRTC, and LL-HLS where that cannot be. */
  via: Via;
}

export function embedOptions(query: URLSearchParams): EmbedOptions {
  return {
    muted: flag(query, "muted", true),
    controls: flag(query, "controls", true),
    autoplay: flag(query, "autoplay", true),
    poster: posterUrl(query.get("poster")),
    layer: /^[\w-]{1,64}$/.exec(query.get("layer") ?? "")?.[0] ?? null,
    background: colour(query.get("background")),
    via: oneOf(query.get("via")?.toLowerCase(), ["auto", "webrtc", "hls"], "auto"),
  };
}

/** Images of the web only: `data:` and the like have no business in an address. */
function posterUrl(text: string | null): string | null {
  if (!text || text.length > 2048) return null;
  return /^https?:\/\//i.test(text) || /^\/(?!\/)/.test(text) ? text : null;
}

/** `#rgb`, `#rrggbb`, with or without the `#` and an alpha, or a name such as `transparent`. */
function colour(text: string | null): string | null {
  const [, hex, name] = /^(?:#?([\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})|([a-z]{3,24}))$/i.exec(text ?? "") ?? [];
  if (hex) return `#${hex.toLowerCase()}`;
  return name?.toLowerCase() ?? null;
}

function oneOf<T extends string>(value: string | null | undefined, allowed: readonly T[], otherwise: T): T {
  return allowed.find((one) => one === value) ?? otherwise;
}

function whole(value: string | null, least: number, most: number, otherwise: number): number {
  if (value === null || !/^\d{1,7}$/.test(value)) return otherwise;
  return Math.min(most, Math.max(least, Number(value)));
}
