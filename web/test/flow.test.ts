import { expect, test } from "vitest";
import { backoff } from "../src/backoff";
import { Flow, STALL_MS } from "../src/flow";

test("nothing received is nothing, however long", () => {
  const flow = new Flow();
  for (const now of [0, 500, 60_000]) expect(flow.sample(now, { frames: 0, videoPackets: 0, audioPackets: 0 })).toBe("nothing");
});

test("frames are video at once, and nothing after a stall", () => {
  const flow = new Flow();
  expect(flow.sample(0, { frames: 1, videoPackets: 9, audioPackets: 0 })).toBe("video");
  const still = { frames: 2, videoPackets: 12, audioPackets: 0 };
  expect(flow.sample(500, still)).toBe("video");
  expect(flow.sample(500 + STALL_MS - 1, still)).toBe("video");
  expect(flow.sample(500 + STALL_MS, still)).toBe("nothing");
  expect(flow.sample(9000, { ...still, frames: 3, videoPackets: 13 })).toBe("video");
});

test("packets without a decoded frame wait for a keyframe", () => {
  const flow = new Flow();
  flow.sample(0, { frames: 10, videoPackets: 10, audioPackets: 10 });
  for (let now = 500; now < STALL_MS; now += 500) flow.sample(now, { frames: 10, videoPackets: 10 + now, audioPackets: 10 + now });
  expect(flow.sample(STALL_MS, { frames: 10, videoPackets: 9999, audioPackets: 9999 })).toBe("undecodable");
});

test("sound alone is audio only after pictures had their time to come", () => {
  const flow = new Flow();
  expect(flow.sample(1000, { frames: 0, videoPackets: 0, audioPackets: 1 })).toBe("undecodable");
  expect(flow.sample(2000, { frames: 0, videoPackets: 0, audioPackets: 50 })).toBe("undecodable");
  expect(flow.sample(2500, { frames: 0, videoPackets: 0, audioPackets: 75 })).toBe("audio");
  expect(flow.sample(3000, { frames: 1, videoPackets: 4, audioPackets: 100 })).toBe("video");
});

test("the camera stops and the sound goes on", () => {
  const flow = new Flow();
  let audioPackets = 0;
  let media = "";
  for (let now = 0; now <= 5000; now += 500) {
    media = flow.sample(now, { frames: 5, videoPackets: 20, audioPackets: (audioPackets += 25) });
  }
  expect(media).toBe("audio");
});

test("waits double up to eight seconds and are spread upwards", () => {
  expect([0, 1, 2, 3, 4, 50].map((attempt) => backoff(attempt, 0))).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
  expect(backoff(0, 0.9999)).toBeLessThanOrEqual(1250);
  expect(backoff(0, 0.5)).toBe(1125);
  expect(backoff(0, 0, 30_000)).toBe(30_000);
});
