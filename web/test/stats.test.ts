import { expect, test } from "vitest";
import * as format from "../src/format";
import { StatsReader } from "../src/stats";

const report = (...entries: object[]) =>
  new Map(entries.map((entry) => [(entry as { id: string }).id, entry])) as unknown as RTCStatsReport;

const inbound = (timestamp: number, fields: object) =>
  report(
    { id: "T", type: "transport", timestamp, selectedCandidatePairId: "P" },
    { id: "P", type: "candidate-pair", timestamp, currentRoundTripTime: 0.0125 },
    { id: "C", type: "codec", timestamp, mimeType: "video/H264" },
    { id: "V", type: "inbound-rtp", kind: "video", timestamp, codecId: "C", frameWidth: 1280, frameHeight: 720, ...fields },
  );

test("rates come from two readings", () => {
  const reader = new StatsReader();
  const first = reader.viewer(inbound(1000, { bytesReceived: 1000, jitterBufferDelay: 1, jitterBufferEmittedCount: 10 }));
  expect(first.video).toMatchObject({ codec: "H264", width: 1280, height: 720, bitrateBps: 0 });
  expect(first.rttMs).toBe(12.5);
  const second = reader.viewer(inbound(3000, { bytesReceived: 251_000, jitterBufferDelay: 2.5, jitterBufferEmittedCount: 60 }));
  expect(second.video?.bitrateBps).toBe(1_000_000);
  expect(second.video?.jitterBufferMs).toBeCloseTo(30);
  expect(second.audio).toBeNull();
});

test("the same instant twice, or a counter that fell, is no rate", () => {
  const reader = new StatsReader();
  reader.viewer(inbound(1000, { bytesReceived: 5000 }));
  expect(reader.viewer(inbound(1000, { bytesReceived: 6000 })).video?.bitrateBps).toBe(0);
  expect(reader.viewer(inbound(2000, { bytesReceived: 10 })).video?.bitrateBps).toBe(0);
});

test("layers best first, retransmissions apart, a silent layer is inactive", () => {
  const reader = new StatsReader();
  const layer = (rid: string, timestamp: number, fields: object) => ({
    id: rid, type: "outbound-rtp", kind: "video", rid, timestamp, active: true, framesPerSecond: 30, ...fields,
  });
  const at = (timestamp: number, bytes: number) =>
    report(
      layer("q", timestamp, { bytesSent: bytes, retransmittedBytesSent: 0, remoteId: "R" }),
      layer("f", timestamp, { bytesSent: bytes * 3, retransmittedBytesSent: bytes, qualityLimitationReason: "bandwidth" }),
      layer("h", timestamp, { bytesSent: 0, framesPerSecond: undefined }),
      { id: "R", type: "remote-inbound-rtp", timestamp, fractionLost: 0.25 },
    );
  reader.publisher(at(0, 0));
  const stats = reader.publisher(at(1000, 1000));
  expect(stats.layers.map((one) => [one.rid, one.active, one.bitrateBps, one.loss])).toEqual([
    ["f", true, 16_000, null],
    ["h", false, 0, null],
    ["q", true, 8000, 0.25],
  ]);
  expect(stats.bitrateBps).toBe(24_000);
  expect(stats.layers[0]?.limitation).toBe("bandwidth");
});

test("numbers as a person reads them", () => {
  expect([640_000, 2_540_000, 12_000_000].map(format.bitrate)).toEqual(["640 kb/s", "2.5 Mb/s", "12 Mb/s"]);
  expect([5, 65, 3600, 7500, 90_000, -3].map(format.duration)).toEqual(["5 s", "1 min", "1 h", "2 h 5 min", "1 d 1 h", "0 s"]);
  expect([7, 754, 3723].map(format.clock)).toEqual(["0:07", "12:34", "1:02:03"]);
  expect([30, 29.97, 30.1, 12.5].map(format.fps)).toEqual(["30 fps", "30 fps", "30 fps", "13 fps"]);
  expect([0, 0.004, 0.25].map(format.percent)).toEqual(["0 %", "0.4 %", "25 %"]);
  expect(format.size(null, 720)).toBe("");
  expect([format.count(1, "viewer"), format.count(2, "viewer")]).toEqual(["1 viewer", "2 viewers"]);
});
