// When to try again: 1, 2, 4, 8, 8 … seconds, spread by up to a quarter so that a thousand viewers
// do not come back in the same instant. The server's own Retry-After wins if it is longer.

const STEPS_MS = [1000, 2000, 4000, 8000];

/** Milliseconds before attempt number `attempt` (0 is the first retry); `random` is in 0..1. */
export function backoff(attempt: number, random: number, retryAfterMs = 0): number {
  const step = STEPS_MS[Math.min(attempt, STEPS_MS.length - 1)] as number;
  return Math.max(Math.round(step * (1 + random / 4)), retryAfterMs);
}
