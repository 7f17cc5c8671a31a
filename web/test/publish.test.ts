import { expect, test } from "vitest";
import { ffmpegLine, rtmpLine } from "../src/ui/how-to";
import { encodings, preferred } from "../src/whip";

const HD = 1280 * 720;

test("one encoding unless simulcast is asked for", () => {
  expect(encodings({ codec: "h264", simulcast: false, bitrate: 2500 }, HD)).toEqual([{ maxBitrate: 2_500_000 }]);
  expect(encodings({ codec: "h264", simulcast: false, bitrate: 0 }, HD)).toEqual([{}]);
});

test("three layers, lowest first, sizes 1/4 1/2 1", () => {
  const layers = encodings({ codec: "vp8", simulcast: true, bitrate: 2500 }, HD);
  expect(layers.map(({ rid, scaleResolutionDownBy }) => [rid, scaleResolutionDownBy])).toEqual([["q", 4], ["h", 2], ["f", 1]]);
  expect(layers.map((layer) => layer.maxBitrate)).toEqual([250_000, 750_000, 2_500_000]);
  expect(layers.some((layer) => "scalabilityMode" in layer)).toBe(false);
});

test("a small picture has fewer layers, and the full size is always one of them", () => {
  const scales = (width: number, height: number) =>
    encodings({ codec: "vp8", simulcast: true, bitrate: 0 }, width * height).map((layer) => layer.scaleResolutionDownBy);
  expect(scales(960, 540)).toEqual([4, 2, 1]);
  expect(scales(640, 360)).toEqual([2, 1]);
  expect(scales(320, 180)).toEqual([undefined]);
});

test("a low limit is never exceeded by the small layers' own minimum", () => {
  for (const { maxBitrate } of encodings({ codec: "vp8", simulcast: true, bitrate: 200 }, HD)) {
    expect(maxBitrate).toBeLessThanOrEqual(200_000);
  }
});

test("VP9 and AV1 need a mode or they send one SVC stream", () => {
  for (const codec of ["vp9", "av1"] as const) {
    const modes = encodings({ codec, simulcast: true, bitrate: 0 }, HD).map((layer) => (layer as { scalabilityMode?: string }).scalabilityMode);
    expect(modes).toEqual(["L1T1", "L1T1", "L1T1"]);
  }
});

const codec = (mimeType: string, sdpFmtpLine?: string) => ({ mimeType, clockRate: 90000, ...(sdpFmtpLine ? { sdpFmtpLine } : {}) });
const ALL = [
  codec("video/VP8"),
  codec("video/rtx"),
  codec("video/H264", "packetization-mode=1;profile-level-id=42e01f"),
  codec("video/H264", "packetization-mode=0;profile-level-id=42e01f"),
  codec("video/red"),
];

test("a chosen codec is offered alone, with its repair", () => {
  expect(preferred("vp8", ALL)).toEqual([ALL[0], ALL[1]]);
  expect(preferred("h264", ALL)).toEqual([ALL[2], ALL[1]]);
  expect(preferred("auto", ALL)).toBeNull();
  expect(preferred("av1", ALL)).toBeNull();
});

test("the ffmpeg line names the token only where it is needed", () => {
  expect(ffmpegLine("http://localhost:8080/whip/demo", false)).toBe(
    'ffmpeg -re -i input.mp4 -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -g 60 -c:a libopus -ac 2 -f whip "http://localhost:8080/whip/demo"',
  );
  expect(rtmpLine("rtmp://weir.test/live", "demo?token=TOKEN")).toBe(
    'ffmpeg -re -i input.mp4 -c copy -f flv "rtmp://weir.test/live/demo?token=TOKEN"',
  );
  expect(ffmpegLine("https://weir.test/whip/demo", true)).toContain('-f whip -authorization "TOKEN" "https://');
});
