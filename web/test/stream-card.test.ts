import { expect, test } from "vitest";
import { bridgeWords } from "../src/ui/stream-card";

test("a bridge is told in words: what, for whom, and how it is if it does not run", () => {
  expect(bridgeWords({ from: "aac", to: "opus", why: "whep viewers", state: "running" })).toBe("AAC → Opus (WHEP viewers)");
  const failed = { from: "h264", to: "h264", why: "whep viewers, b-frames", state: "failed" };
  expect(bridgeWords(failed)).toBe("H.264 → H.264 (WHEP viewers, B-frames, failed)");
});
