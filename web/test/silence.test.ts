import { expect, test } from "vitest";
import { Silence } from "../src/silence";

const report = (numbers: { bytesReceived?: number; responsesReceived?: number; requestsSent?: number }, id = "p1") =>
  new Map<string, unknown>([
    ["t", { type: "transport", selectedCandidatePairId: id }],
    ["p0", { type: "candidate-pair", bytesReceived: 0, responsesReceived: 0, requestsSent: 99 }],
    [id, { type: "candidate-pair", ...numbers }],
  ]);

test("two checks without an answer in two seconds, and nothing else", () => {
  const silence = new Silence();
  expect(silence.sample(0, report({ bytesReceived: 10, responsesReceived: 3, requestsSent: 4 }))).toBe(false);
  expect(silence.sample(3000, report({ bytesReceived: 10, responsesReceived: 3, requestsSent: 5 }))).toBe(false);
  expect(silence.sample(3500, report({ bytesReceived: 10, responsesReceived: 3, requestsSent: 6 }))).toBe(true);
  expect(silence.sample(4000, report({ bytesReceived: 10, responsesReceived: 4, requestsSent: 6 }))).toBe(false);
  expect(silence.sample(5000, report({ bytesReceived: 10, responsesReceived: 4, requestsSent: 9 }))).toBe(false);
  expect(silence.sample(6000, report({ bytesReceived: 10, responsesReceived: 4, requestsSent: 9 }))).toBe(true);
  expect(silence.sample(6500, report({ bytesReceived: 11, responsesReceived: 4, requestsSent: 10 }))).toBe(false);
});

test("without media a check each 2.5 s that is answered is enough", () => {
  const silence = new Silence();
  for (let i = 0; i < 100; i++) {
    const checks = Math.floor(i / 5);
    expect(silence.sample(500 * i, report({ bytesReceived: 0, responsesReceived: checks, requestsSent: checks + 1 }))).toBe(false);
  }
});

test("another pair begins anew", () => {
  const silence = new Silence();
  silence.sample(0, report({ bytesReceived: 10, responsesReceived: 3, requestsSent: 4 }));
  expect(silence.sample(3000, report({ bytesReceived: 10, responsesReceived: 3, requestsSent: 9 }, "p2"))).toBe(false);
});

test("a browser that does not count checks is believed", () => {
  const silence = new Silence();
  for (const at of [0, 5000, 50_000]) expect(silence.sample(at, report({ bytesReceived: 10 }))).toBe(false);
  expect(new Silence().sample(9000, new Map())).toBe(false);
});
