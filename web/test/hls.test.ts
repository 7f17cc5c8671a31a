import { expect, test } from "vitest";
import { ServerClock, timesOf } from "../src/hls/clock";
import { codecName, withToken } from "../src/hls/engine";
import { Pace } from "../src/hls/pace";
import { Rates } from "../src/hls/rates";
import { hlsOf } from "../src/url";

/** A server whose clock is `ahead` of ours, and whose answers take `wayMs` back and `heldMs` before. */
function answers(clock: ServerClock, ahead: number, from: number, count: number, { wayMs = 5, heldMs = 0, age = null as number | null, everyMs = 237 } = {}) {
  for (let i = 0; i < count; i++) {
    const asked = from + i * everyMs;
    const made = asked + wayMs + heldMs;
    const date = Math.floor((made + ahead) / 1000) * 1000;
    clock.hear(date - (age ?? 0) * 1000, age, asked, made + wayMs);
  }
  return from + count * everyMs;
}

test("the server's clock, from Dates that are cut to the second", () => {
  const clock = new ServerClock();
  expect(clock.at(0)).toBeNull();
  const hours = 2.5 * 3_600_000;
  const one = answers(clock, hours, 10_000, 1);
  expect(Math.abs((clock.at(one) as number) - one - hours)).toBeLessThan(600);
  expect(clock.error).toBeLessThan(600);
  const now = answers(clock, hours, one, 60);
  expect(Math.abs((clock.at(now) as number) - now - hours)).toBeLessThan(60);
  expect(clock.error).toBeLessThan(60);
});

test("answers that were held back, or come from a cache, are no worse than their bounds say", () => {
  for (const how of [{ heldMs: 200, wayMs: 20 }, { age: 3 }]) {
    const clock = new ServerClock();
    const now = answers(clock, -777_000, 5000, 80, how);
    expect(Math.abs((clock.at(now) as number) - now + 777_000)).toBeLessThanOrEqual(clock.error + 1);
    expect(clock.error).toBeLessThan(700);
  }
});

test("a clock that was set is learned anew", () => {
  const clock = new ServerClock();
  const then = answers(clock, 0, 0, 20);
  const now = answers(clock, 90_000, then, 40);
  expect(Math.abs((clock.at(now) as number) - now - 90_000)).toBeLessThan(100);
});

test("nonsense in headers is nothing", () => {
  const of = (headers: Record<string, string>) => timesOf((name) => headers[name] ?? null);
  expect(of({})).toBeNull();
  expect(of({ Date: "soon" })).toBeNull();
  expect(of({ Date: "Thu, 01 Jan 1970 00:00:07 GMT", Age: "-4" })).toEqual({ date: 7000, age: null });
  expect(of({ Date: "Thu, 01 Jan 1970 00:00:07 GMT", Age: "12" })).toEqual({ date: 7000, age: 12 });
  const clock = new ServerClock();
  clock.hear(NaN, null, 0, 0);
  expect(clock.at(0)).toBeNull();
});

test("it plays faster behind its aim, slower before it, and jumps from afar", () => {
  const pace = new Pace();
  const at = (behind: number, ahead = 0.5) => pace.rate(0, { behind, target: 0.7, ahead, fresh: false });
  expect(at(0.7)).toBe(1);
  expect(at(0.75)).toBe(1);
  expect(at(0.9)).toBe(1.03);
  expect(at(1.5)).toBe(1.1);
  expect(at(0.5)).toBe(0.97);
  expect(at(0.1)).toBe(0.95);
  // What is here can be jumped to sooner than what has to be fetched first.
  expect(at(2.5)).toBe(1.1);
  expect(at(2.5, 2.4)).toBe("jump");
  // Nothing to hurry with.
  expect(at(1.2, 0.2)).toBe(1);
  expect(at(9)).toBe("jump");
  expect(pace.rate(0, { behind: 1.5, target: 0.7, ahead: 1, fresh: true })).toBe("jump");
});

test("each stall moves the aim back, not for ever, and not without end", () => {
  const pace = new Pace();
  expect(pace.aim(0, 0.7)).toBe(0.7);
  pace.stalled(1000);
  expect(pace.aim(1000, 0.7)).toBeCloseTo(0.95);
  expect(pace.rate(1000, { behind: 0.95, target: 0.7, ahead: 0.9, fresh: false })).toBe(1);
  expect(pace.aim(1000 + 600_000, 0.7)).toBeCloseTo(0.7, 1);
  for (let i = 0; i < 50; i++) pace.stalled(700_000);
  expect(pace.aim(700_000, 0.7)).toBeCloseTo(2.7);
});

test("rates are those of the last seconds", () => {
  const rates = new Rates();
  expect(rates.bps("video")).toBe(0);
  for (let i = 0; i < 50; i++) rates.add("video", 1e6, 0.2);
  for (let i = 0; i < 20; i++) rates.add("video", 25_000, 0.2);
  expect(rates.bps("video")).toBeCloseTo(1e6);
  rates.add("audio", 1000, 0);
  rates.add("audio", 2000, 1);
  expect(rates.bps("audio")).toBe(16_000);
});

test("where a stream is by HLS, from where it is by WHEP", () => {
  expect(hlsOf("https://live.example.org/whep/a%20b")).toBe("https://live.example.org/live/a%20b/index.m3u8");
  expect(hlsOf("https://live.example.org/weir/whep/demo?x=1")).toBe("https://live.example.org/weir/live/demo/index.m3u8");
  expect(hlsOf("https://live.example.org/rtc/v1/play")).toBeNull();
});

test("a token goes behind the address once", () => {
  expect(withToken("https://a.example/live/x/index.m3u8", null)).toBe("https://a.example/live/x/index.m3u8");
  expect(withToken("https://a.example/live/x/index.m3u8", "s&t")).toBe("https://a.example/live/x/index.m3u8?token=s%26t");
  expect(withToken("https://a.example/i.m3u8?token=own", "other")).toBe("https://a.example/i.m3u8?token=own");
});

test("codecs as people call them", () => {
  expect(["avc1.64001f", "avc3.42e01f", "hvc1.1.6.L93.B0", "av01.0.05M.08", "vp09.00.10.08", "mp4a.40.2", "opus", ""].map(codecName)).toEqual([
    "H264", "H264", "H265", "AV1", "VP9", "AAC", "Opus", "",
  ]);
});
