import { expect, test } from "vitest";
import type { SessionStatus, Viewer } from "../src/api";
import { area, line, nearest, runs, stack, ticks, x, y, type Point } from "../src/chart";
import { sessionFacts } from "../src/ui/admin/drawer";
import { arrange, COLUMNS, hashOf, placeOf } from "../src/viewer-rows";
import { history, viewers } from "./mock-api";

test("the axis has a few round numbers up to the highest value or just above", () => {
  expect(ticks(0)).toEqual([0, 0.5, 1]);
  expect(ticks(3)).toEqual([0, 1, 2, 3]);
  expect(ticks(1_300_000)).toEqual([0, 500_000, 1_000_000, 1_500_000]);
  expect(ticks(0.03)).toEqual([0, 0.01, 0.02, 0.03]);
  expect(ticks(7, true)).toEqual([0, 5, 10]);
  expect(ticks(1, true)).toEqual([0, 1]);
  for (let most = 1; most < 1e6; most = Math.ceil(most * 1.3)) expect(ticks(most, true).every(Number.isInteger)).toBe(true);
  for (let most = 1e-3; most < 1e12; most *= 1.37) {
    const all = ticks(most);
    expect(all[all.length - 1]).toBeGreaterThanOrEqual(most * 0.999);
    expect(all.length).toBeGreaterThanOrEqual(3);
    expect(all.length).toBeLessThanOrEqual(5);
  }
  for (const odd of [NaN, Infinity, -1]) expect(ticks(odd)).toEqual([0, 0.5, 1]);
});

const frame = { from: 0, to: 100, top: 10, width: 200, height: 50 };

test("where a value lies", () => {
  expect([x(frame, 0), x(frame, 50), x(frame, 100)]).toEqual([0, 100, 200]);
  expect([y(frame, 0), y(frame, 5), y(frame, 10), y(frame, 99)]).toEqual([50, 25, 0, 0]);
  expect(y({ ...frame, top: 0 }, 1)).toBe(50);
});

test("a line breaks where nothing is known, and where time is missing", () => {
  const points: Point[] = [[0, 1], [10, 2], [20, null], [30, 3], [40, 4], [90, 5]];
  expect(runs(points, 25)).toEqual([[[0, 1], [10, 2]], [[30, 3], [40, 4]], [[90, 5]]]);
  expect(line(frame, points, 25).match(/M/g)).toHaveLength(3);
  expect(line(frame, [], 25)).toBe("");
  expect(area(frame, [[0, 10], [100, 10]], 1000)).toBe("M0.0 0.0L200.0 0.0L200.0 50.0L0.0 50.0Z");
});

test("what is under the pointer is the nearest sample", () => {
  const times = [10, 20, 40];
  expect([-5, 14, 16, 29, 31, 99].map((at) => nearest(times, at))).toEqual([0, 0, 1, 1, 2, 2]);
  expect(nearest(times, Infinity)).toBe(2);
  expect(nearest([], 1)).toBe(-1);
});

test("layers lie on top of each other", () => {
  const [q, f] = stack([1, 2, 3], [{ q: 1, f: 2 }, null, { f: 5 }], ["q", "f"]);
  expect(q?.high).toEqual([[1, 1], [2, null], [3, 0]]);
  expect(f?.low).toEqual([[1, 1], [2, 0], [3, 0]]);
  expect(f?.high).toEqual([[1, 3], [2, null], [3, 5]]);
});

test("viewers are sorted, those with nothing to say last, and cut at 200", () => {
  const all = viewers(1e12, 450);
  const { rows, more } = arrange(all, { column: "problem", down: false });
  expect([rows.length, more]).toEqual([200, 250]);
  expect(rows[0]?.problem).not.toBeNull();
  expect(rows[1]?.problem).toBeNull();
  for (const column of COLUMNS) {
    const sorted = (down: boolean) => arrange(all, { column, down }, 1000).rows;
    const empty = (viewer: Viewer | undefined) => column === "loss" && viewer?.loss === null;
    expect(sorted(true).map(empty).lastIndexOf(false)).toBe(sorted(true).filter((viewer) => !empty(viewer)).length - 1);
    expect(new Set(sorted(false).map((viewer) => viewer.session)).size).toBe(450);
  }
  const bitrates = arrange(all, { column: "bitrate", down: true }, 1000).rows.map((viewer) => viewer.bitrate_bps);
  expect(bitrates).toEqual([...bitrates].sort((a, b) => b - a));
});

test("addresses of the page", () => {
  expect(placeOf("")).toEqual({ stream: null, session: null });
  expect(placeOf("#/")).toEqual({ stream: null, session: null });
  expect(placeOf(hashOf("a.b~c"))).toEqual({ stream: "a.b~c", session: null });
  expect(placeOf(hashOf("demo", "1a2b3c4d"))).toEqual({ stream: "demo", session: "1a2b3c4d" });
  expect(placeOf("#/%")).toEqual({ stream: null, session: null });
});

test("a session's facts are those that are there", () => {
  const bare = { session: "1", stream: "demo", role: "viewer", protocol: "whep", since: "1970-01-01T00:00:00Z", address: "a", user_agent: null, state: "playing" } as SessionStatus;
  expect(sessionFacts(bare, 60_000)).toEqual([["Stream", "demo"], ["Protocol", "WHEP"], ["Since", "1 min"], ["Address", "a"]]);
  const full = { ...bare, loss: 0.012, rtt_ms: 20, layer: "h", transport: { local: "l", remote: "r", srtp: "s" }, tracks: [{ kind: "video" as const, codec: "vp8", encodings: [{ id: "f", width: 2, height: 1, fps: 30, bitrate_bps: 1e6, lost: 0, active: true }] }] };
  const over = { ...bare, ended: "1970-01-01T00:00:42Z", ended_because: "The viewer left." };
  expect(sessionFacts(over, 1e9).slice(2, 4)).toEqual([["Lasted", "42 s"], ["Ended", "The viewer left."]]);
  expect(sessionFacts(full, 0).slice(4)).toEqual([
    ["Path", "r → l"], ["Encryption", "s"], ["Layer", "h"], ["Loss", "1.2 %"], ["Round trip", "20 ms"], ["Encoding f", "2×1, 30 fps, 1.0 Mb/s, 0 lost"],
  ]);
});

test("the made-up history is five minutes long and in order", () => {
  const { samples, interval_ms } = history(1e12);
  const times = samples.map(({ at }) => Date.parse(at));
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(samples.length * interval_ms).toBe(300_000);
});
