// The last minute of a number as a water level: a line and what is below it.

import { svg } from "./dom";

const WIDTH = 240;
const HEIGHT = 44;

/** The path of `values` (oldest first), the newest at the right edge, `capacity` values wide. */
export function linePath(values: readonly number[], capacity: number, top: number): string {
  const step = WIDTH / (capacity - 1);
  const first = WIDTH - (values.length - 1) * step;
  return values
    .map((value, i) => {
      const y = HEIGHT - 2 - (HEIGHT - 6) * (top > 0 ? Math.min(1, value / top) : 0);
      return `${i === 0 ? "M" : "L"}${(first + i * step).toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}

export class Sparkline {
  private readonly values: number[] = [];
  private readonly root = svg(
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">` +
      `<path class="below"/><path class="line" vector-effect="non-scaling-stroke"/></svg>`,
  );

  constructor(
    holder: HTMLElement,
    private readonly capacity = 60,
  ) {
    holder.replaceChildren(this.root);
  }

  push(value: number): void {
    this.values.push(value);
    if (this.values.length > this.capacity) this.values.shift();
    const line = linePath(this.values, this.capacity, Math.max(...this.values) * 1.15);
    const [below, stroke] = this.root.querySelectorAll("path");
    stroke?.setAttribute("d", line);
    below?.setAttribute("d", line ? `${line}V${HEIGHT}H${/M([\d.-]+)/.exec(line)?.[1]}Z` : "");
  }

  clear(): void {
    this.values.length = 0;
    for (const path of this.root.querySelectorAll("path")) path.removeAttribute("d");
  }
}
