// RTCStatsReport (W3C webrtc-stats) to the few numbers that the pages show, with rates worked out
// from two readings.

/** Anything in a report; its fields depend on `type`. */
interface Entry {
  id: string;
  type: string;
  timestamp: number;
  [field: string]: unknown;
}

export interface ReceivedVideo {
  codec: string;
  width: number;
  height: number;
  fps: number;
  bitrateBps: number;
  framesDecoded: number;
  framesDropped: number;
  keyFrames: number;
  freezes: number;
  freezeSeconds: number;
  /** Mean over the last interval. */
  jitterBufferMs: number | null;
  packets: number;
  lost: number;
  retransmitted: number;
  nacks: number;
  plis: number;
  decoder: string;
}

export interface ReceivedAudio {
  codec: string;
  channels: number;
  bitrateBps: number;
  packets: number;
  lost: number;
  jitterBufferMs: number | null;
  /** 0 to 1. */
  level: number;
}

export interface ViewerStats {
  rttMs: number | null;
  video: ReceivedVideo | null;
  audio: ReceivedAudio | null;
  /** Only of a stream that comes by HLS; it has no packets and no round trip. */
  hls: HlsNumbers | null;
}

export interface HlsNumbers {
  /** From the server's having the picture to its being shown, by the server's clock; `null`: it is not known. */
  latencyMs: number | null;
  /** How far behind the newest the server asks it to be. */
  targetMs: number | null;
  /** What is here to be played. */
  bufferMs: number;
  /** How fast it plays. */
  rate: number;
  /** How often playing has run dry. */
  stalls: number;
}

/** Whether there is sound. */
export function sounds(stats: ViewerStats | null): boolean {
  return stats !== null && stats.audio !== null && (stats.hls !== null || stats.audio.packets > 0);
}

export interface SentLayer {
  rid: string;
  active: boolean;
  width: number;
  height: number;
  fps: number;
  bitrateBps: number;
  bytes: number;
  packets: number;
  retransmitted: number;
  /** `none`, `cpu`, `bandwidth`, `other` */
  limitation: string;
  encoder: string;
  /** What the server reports, 0 to 1. */
  loss: number | null;
}

export interface PublisherStats {
  rttMs: number | null;
  /** Media only, without retransmissions. */
  bitrateBps: number;
  /** What the browser believes the network takes. */
  availableBps: number | null;
  codec: string;
  /** Best first. */
  layers: SentLayer[];
  audio: { codec: string; channels: number; bitrateBps: number; packets: number; loss: number | null } | null;
}

/** Keeps the previous reading. One per connection. */
export class StatsReader {
  private previous = new Map<string, Entry>();
  private current = new Map<string, Entry>();

  viewer(report: RTCStatsReport): ViewerStats {
    this.turn(report);
    const video = this.inbound("video");
    const audio = this.inbound("audio");
    return {
      rttMs: this.pairRtt(),
      video: video && {
        codec: this.codec(video),
        width: num(video, "frameWidth"),
        height: num(video, "frameHeight"),
        fps: num(video, "framesPerSecond"),
        bitrateBps: this.bitrate(video, "bytesReceived"),
        framesDecoded: num(video, "framesDecoded"),
        framesDropped: num(video, "framesDropped"),
        keyFrames: num(video, "keyFramesDecoded"),
        freezes: num(video, "freezeCount"),
        freezeSeconds: num(video, "totalFreezesDuration"),
        jitterBufferMs: this.jitterBuffer(video),
        packets: num(video, "packetsReceived"),
        lost: num(video, "packetsLost"),
        retransmitted: num(video, "retransmittedPacketsReceived"),
        nacks: num(video, "nackCount"),
        plis: num(video, "pliCount"),
        decoder: text(video, "decoderImplementation"),
      },
      audio: audio && {
        codec: this.codec(audio),
        channels: num(this.current.get(text(audio, "codecId")), "channels"),
        bitrateBps: this.bitrate(audio, "bytesReceived"),
        packets: num(audio, "packetsReceived"),
        lost: num(audio, "packetsLost"),
        jitterBufferMs: this.jitterBuffer(audio),
        level: num(audio, "audioLevel"),
      },
      hls: null,
    };
  }

  publisher(report: RTCStatsReport): PublisherStats {
    this.turn(report);
    const outbound = [...this.current.values()].filter((entry) => entry.type === "outbound-rtp");
    const videos = outbound.filter((entry) => entry["kind"] === "video");
    const audio = outbound.find((entry) => entry["kind"] === "audio");
    const layers = videos.map((entry) => this.layer(entry));
    layers.sort((a, b) => order(b.rid) - order(a.rid));
    const audioBps = audio ? this.bitrate(audio, "bytesSent") : 0;
    return {
      rttMs: this.pairRtt(),
      bitrateBps: layers.reduce((sum, layer) => sum + layer.bitrateBps, audioBps),
      availableBps: this.pair()?.["availableOutgoingBitrate"] as number | undefined ?? null,
      codec: videos[0] ? this.codec(videos[0]) : "",
      layers,
      audio: audio
        ? {
            codec: this.codec(audio),
            channels: num(this.current.get(text(audio, "codecId")), "channels"),
            bitrateBps: audioBps,
            packets: num(audio, "packetsSent"),
            loss: this.reportedLoss(audio),
          }
        : null,
    };
  }

  private layer(entry: Entry): SentLayer {
    return {
      rid: text(entry, "rid"),
      active: entry["active"] !== false && num(entry, "framesPerSecond") > 0,
      width: num(entry, "frameWidth"),
      height: num(entry, "frameHeight"),
      fps: num(entry, "framesPerSecond"),
      bitrateBps: this.bitrate(entry, "bytesSent", "retransmittedBytesSent"),
      bytes: num(entry, "bytesSent"),
      packets: num(entry, "packetsSent"),
      retransmitted: num(entry, "retransmittedPacketsSent"),
      limitation: text(entry, "qualityLimitationReason") || "none",
      encoder: text(entry, "encoderImplementation"),
      loss: this.reportedLoss(entry),
    };
  }

  private turn(report: RTCStatsReport): void {
    this.previous = this.current;
    this.current = new Map();
    report.forEach((entry: Entry) => this.current.set(entry.id, entry));
  }

  /** The stream that is received now; after a change of codec a report may hold its past too. */
  private inbound(kind: string): Entry | null {
    const all = [...this.current.values()].filter((entry) => entry.type === "inbound-rtp" && entry["kind"] === kind);
    const latest = (entry: Entry) => num(entry, "lastPacketReceivedTimestamp");
    return all.sort((a, b) => latest(b) - latest(a))[0] ?? null;
  }

  private codec(entry: Entry): string {
    const name = text(this.current.get(text(entry, "codecId")), "mimeType").split("/")[1] ?? "";
    return name.toUpperCase() === "OPUS" ? "Opus" : name.toUpperCase();
  }

  /** Bits per second since the previous reading; what `less` counted does not. */
  private bitrate(entry: Entry, field: string, less?: string): number {
    const before = this.previous.get(entry.id);
    const seconds = before ? (entry.timestamp - before.timestamp) / 1000 : 0;
    if (!before || seconds <= 0) return 0;
    const value = (of: Entry) => num(of, field) - (less ? num(of, less) : 0);
    return Math.max(0, ((value(entry) - value(before)) * 8) / seconds);
  }

  private jitterBuffer(entry: Entry): number | null {
    const before = this.previous.get(entry.id);
    const since = (field: string) => num(entry, field) - num(before, field);
    const emitted = since("jitterBufferEmittedCount");
    return emitted > 0 ? (since("jitterBufferDelay") / emitted) * 1000 : null;
  }

  private reportedLoss(outbound: Entry): number | null {
    const loss = this.current.get(text(outbound, "remoteId"))?.["fractionLost"];
    return typeof loss === "number" ? loss : null;
  }

  private pair(): Entry | undefined {
    const transport = [...this.current.values()].find((entry) => entry.type === "transport");
    const selected = this.current.get(text(transport, "selectedCandidatePairId"));
    // Firefox has no transport entry; it marks the pair.
    return selected ?? [...this.current.values()].find((e) => e.type === "candidate-pair" && e["nominated"] === true);
  }

  private pairRtt(): number | null {
    const rtt = this.pair()?.["currentRoundTripTime"];
    return typeof rtt === "number" ? rtt * 1000 : null;
  }
}

/** Position among the layers, lowest first; a single encoding has no rid. */
function order(rid: string): number {
  return ["q", "h", "f"].indexOf(rid);
}

function num(entry: Entry | undefined | null, field: string): number {
  const value = entry?.[field];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function text(entry: Entry | undefined | null, field: string): string {
  const value = entry?.[field];
  return typeof value === "string" ? value : "";
}
