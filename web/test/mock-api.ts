// A made-up API for working on /admin without a server: `WEIR_MOCK=1 npx vite`, then open /admin.
// The shapes are those of src/api.ts; nothing of this is in what we ship.

import type { Plugin } from "vite";
import type { History, Stream, Viewer } from "../src/api";

const INTERVAL_MS = 2000;

/** Between 0 and 1, always the same for the same `n`. */
const noise = (n: number) => {
  const x = Math.sin(n * 127.1) * 43758.5453;
  return x - Math.floor(x);
};

const wave = (n: number, period: number) => 0.5 + 0.5 * Math.sin((n * 2 * Math.PI) / period);

export function streams(now: number): Stream[] {
  const since = new Date(now - 754_000).toISOString();
  const video = (bits: number) => ({
    kind: "video" as const,
    codec: "h264",
    encodings: [
      { id: "f", width: 1280, height: 720, fps: 30, bitrate_bps: bits, lost: 3, active: true, keyframe_interval_ms: 2000, b_frames: false },
      { id: "h", width: 640, height: 360, fps: 30, bitrate_bps: bits / 4, lost: 0, active: true, keyframe_interval_ms: 2000, b_frames: false },
      { id: "q", width: 320, height: 180, fps: 15, bitrate_bps: bits / 12, lost: 0, active: false, keyframe_interval_ms: null, b_frames: false },
    ],
  });
  const audio = { kind: "audio" as const, codec: "opus", channels: 2, sample_rate: 48000, bitrate_bps: 128_000 };
  const publisher = (session: string) => ({ protocol: "whip", since, address: "203.0.113.7:50123", user_agent: "OBS-Studio/31.0.2", session });
  const n = now / INTERVAL_MS;
  return [
    { name: "show-1", state: "live", publisher: publisher("9f00aa11"), tracks: [video(2.5e6 + 4e5 * wave(n, 20)), audio], viewers: { whep: 240 }, warnings: [
      { code: "keyframe_interval", text: "The keyframe interval is 8.3 s. Viewers who join wait for that long, or begin with an old picture. Set it to 2 s in the encoder." },
      { code: "loss_in", text: "1.2 % of the packets from the publisher are lost on the way in. Lower its bitrate, or use a cable." },
    ] },
    { name: "stage-left", state: "live", publisher: publisher("77aa0001"), tracks: [{ ...video(1.2e6), codec: "vp8" }, audio], viewers: { whep: 12 }, warnings: [] },
    { name: "radio", state: "live", publisher: publisher("77aa0002"), tracks: [audio], viewers: { whep: 3 }, warnings: [] },
    { name: "camera-with-a-rather-long-name-2", state: "interrupted", publisher: null, tracks: [video(0)], viewers: { whep: 4 }, warnings: [] },
    { name: "tomorrow", state: "idle", publisher: null, tracks: [], viewers: { whep: 1 }, warnings: [] },
  ];
}

export function viewers(now: number, count = 240): Viewer[] {
  return Array.from({ length: count }, (_, i) => ({
    session: (0x1a2b0000 + i * 7919).toString(16),
    protocol: "whep",
    since: new Date(now - 4000 * (i + 1)).toISOString(),
    address: i % 7 === 0 ? `[2001:db8::${i.toString(16)}]:5${i % 10}000` : `198.51.100.${i % 250}:5${i % 10}123`,
    user_agent: "Mozilla/5.0",
    state: i === 5 ? "connecting" : "playing",
    layer: i === 5 ? null : ["f", "f", "h", "q"][i % 4] as string,
    wanted_layer: i % 4 === 3 ? "f" : null,
    bitrate_bps: i === 5 ? 0 : 2.4e6 / [1, 1, 4, 12][i % 4]!,
    loss: i % 9 === 0 ? null : noise(i) * noise(i + 1) * 0.08,
    rtt_ms: 8 + noise(i + 3) * 90,
    problem: i === 5 ? "No candidate pair works yet: the viewer's network lets no UDP through to port 8080." : null,
  }));
}

export function history(now: number): History {
  const last = Math.floor(now / INTERVAL_MS);
  const samples = Array.from({ length: 150 }, (_, i) => {
    const n = last - 149 + i;
    const away = i > 60 && i < 67;
    const count = 180 + Math.round(60 * wave(n, 120));
    return {
      at: new Date(n * INTERVAL_MS).toISOString(),
      publisher_bitrate_bps: away ? 0 : 2.5e6 + 4e5 * wave(n, 20) + 2e5 * noise(n),
      publisher_lost: noise(n) > 0.9 ? Math.round(20 * noise(n + 1)) : 0,
      viewers: count,
      viewers_bitrate_bps: away ? 0 : count * 1.6e6,
      viewers_loss: away ? null : 0.004 + 0.02 * noise(n + 5) * wave(n, 60),
      viewers_rtt_ms: away ? null : 28 + 12 * noise(n + 9),
      layers: { f: Math.round(count * 0.5), h: Math.round(count * 0.3), q: Math.round(count * 0.2) },
    };
  });
  return { interval_ms: INTERVAL_MS, samples };
}

export function session(id: string, now: number): Record<"status" | "health" | "logs", unknown> {
  const viewer = viewers(now).find((one) => one.session === id) ?? viewers(now)[5]!;
  const at = (ms: number) => new Date(now - ms).toISOString();
  return {
    status: { ...viewer, session: id, stream: "show-1", role: "viewer", transport: { local: "192.0.2.1:8080", remote: viewer.address, srtp: "AES-128-GCM" } },
    health: viewer.problem
      ? { ok: false, problems: [{ code: "no_candidate_pair", text: `${viewer.problem} Open UDP port 8080 in its firewall, or set webrtc.advertise to the address it reaches.` }] }
      : { ok: true, problems: [] },
    logs: {
      entries: [
        { at: at(9000), code: "created", text: "WHEP session created; H264, VP8 and Opus in common." },
        { at: at(8800), code: "candidate_pair", text: `First authentic check from ${viewer.address}.` },
        { at: at(8700), code: "dtls_up", text: "DTLS is up: AES-128-GCM." },
        { at: at(8600), code: "layer", text: "Shows f: the highest that lives." },
        { at: at(3000), code: "pli", text: "The viewer asks for a keyframe; the publisher was asked 120 ms ago." },
        { at: at(1000), code: "layer", text: "Shows h instead of f: f has been silent for 500 ms." },
      ],
    },
  };
}

export function mockApi(): Plugin {
  return {
    name: "mock-api",
    configureServer(dev) {
      dev.middlewares.use((request, response, next) => {
        const now = Date.now();
        const path = /^\/api\/v1\/([^?]*)/.exec(request.url ?? "")?.[1];
        if (path === undefined) return next();
        const part = /^sessions\/([^/]+)\/(status|health|logs)$/.exec(path);
        const body = /^streams$/.test(path) ? streams(now)
          : /^streams\/[^/]+\/history$/.test(path) ? history(now)
          : /^streams\/[^/]+\/viewers$/.test(path) ? viewers(now)
          : path === "server" ? { version: "0.1.0", uptime_seconds: 4000, listeners: [] }
          : part ? session(part[1]!, now)[part[2] as "status"]
          : null;
        response.setHeader("Content-Type", "application/json");
        response.statusCode = request.method === "DELETE" ? 204 : body === null ? 404 : 200;
        response.end(request.method === "DELETE" || body === null ? "" : JSON.stringify(body));
      });
    },
  };
}
