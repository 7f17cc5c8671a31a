// One pending retry: when it is due, and how many went before it.

import { backoff } from "./backoff";
import type { Problem } from "./problem";

export class Retry {
  /** When the next attempt starts (`performance.now()`), or `null`. */
  dueAt: number | null = null;
  private attempt = 0;
  private timer = 0;

  constructor(private readonly again: () => void) {}

  schedule(problem: Problem): void {
    const wait = backoff(this.attempt++, Math.random(), problem.retryAfterMs);
    this.dueAt = performance.now() + wait;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(this.now, wait);
    // The network is back: no reason to wait.
    window.addEventListener("online", this.now);
  }

  readonly now = (): void => {
    this.cancel();
    this.again();
  };

  cancel(): void {
    clearTimeout(this.timer);
    window.removeEventListener("online", this.now);
    this.dueAt = null;
  }

  /** It works again: the next failure starts at the shortest wait. */
  reset(): void {
    this.cancel();
    this.attempt = 0;
  }
}
