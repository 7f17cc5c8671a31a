// The numbers over the picture, key `s`.

import * as format from "../format";
import type { HlsNumbers, ViewerStats } from "../stats";
import type { Way } from "../way";
import { el } from "./dom";

const DASH = "–";
const WAYS: Record<Way, string> = { webrtc: "WebRTC", hls: "HLS" };

/** Label and value, in the order they are shown. */
export function rows(stats: ViewerStats): [string, string][] {
  const { video, audio } = stats;
  const orDash = (value: number | null) => (value === null ? DASH : format.ms(value));
  const all: [string, string][] = [];
  if (video && video.framesDecoded > 0) {
    all.push(
      ["Picture", `${format.size(video.width, video.height)} ${video.codec}`],
      ["Frame rate", format.fps(video.fps)],
      ["Video", format.bitrate(video.bitrateBps)],
    );
  }
  if (stats.hls) return [...all, ...byHls(stats, stats.hls)];
  if (video && video.framesDecoded > 0) {
    all.push(
      ["Video jitter buffer", orDash(video.jitterBufferMs)],
      ["Video packets lost", `${video.lost} of ${video.packets + Math.max(0, video.lost)}`],
      ["Asked again", `${format.count(video.nacks, "NACK")}, ${format.count(video.plis, "PLI")}`],
      ["Freezes", video.freezes ? `${video.freezes} (${video.freezeSeconds.toFixed(1)} s)` : "none"],
      ["Frames dropped", String(video.framesDropped)],
      ["Decoder", video.decoder || DASH],
    );
  }
  if (audio && audio.packets > 0) {
    const channels = audio.channels === 2 ? "stereo" : "mono";
    all.push(
      ["Sound", `${audio.codec}${audio.channels ? ` ${channels}` : ""}, ${format.bitrate(audio.bitrateBps)}`],
      ["Sound jitter buffer", orDash(audio.jitterBufferMs)],
      ["Sound packets lost", `${audio.lost} of ${audio.packets + Math.max(0, audio.lost)}`],
    );
  }
  all.push(["Round trip", orDash(stats.rttMs)]);
  return all;
}

function byHls({ video, audio }: ViewerStats, hls: HlsNumbers): [string, string][] {
  const seconds = (value: number | null) => (value === null ? DASH : format.seconds(value / 1000));
  const all: [string, string][] = [];
  if (video) all.push(["Frames dropped", String(video.framesDropped)]);
  if (audio) all.push(["Sound", `${audio.codec}${audio.bitrateBps > 0 ? `, ${format.bitrate(audio.bitrateBps)}` : ""}`]);
  all.push(
    ["Behind live", seconds(hls.latencyMs)],
    ["Buffered", seconds(hls.bufferMs)],
    ["Speed", `${hls.rate.toFixed(2)}×`],
    ["Stalls", hls.stalls ? String(hls.stalls) : "none"],
  );
  return all;
}

export class StatsOverlay {
  readonly root = el("div", { class: "stats-overlay", role: "region", "aria-label": "Statistics", tabindex: "0", hidden: "" });
  private readonly list = el("dl");

  constructor() {
    this.root.append(this.list);
  }

  toggle(): boolean {
    this.root.hidden = !this.root.hidden;
    return !this.root.hidden;
  }

  /** `detour`: why it comes by HLS, empty if it does not. */
  show(stats: ViewerStats | null, way: Way, detour: string): void {
    if (this.root.hidden) return;
    const all: [string, string][] = stats ? [["Comes by", WAYS[way]], ...rows(stats)] : [["Connection", "none"]];
    if (detour) all.push(["Not by WebRTC", detour]);
    this.list.replaceChildren(...all.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
  }
}
