// The sums behind a chart: where a value lies, which numbers stand at the axis, what is under the
// pointer. Pure; `ui/charts.ts` draws.

/** Milliseconds since the epoch, and a value or nothing. */
export type Point = readonly [at: number, value: number | null];

/** Round steps from 0 to at least `most`, two to five of them: `[0, 500, 1000, 1500]`; `whole`: for things that are counted. */
export function ticks(most: number, whole = false): number[] {
  const top = most > 0 && Number.isFinite(most) ? most : 1;
  const rough = whole ? Math.max(1, top / 3) : top / 3;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, ...(whole && magnitude < 10 ? [] : [2.5]), 5, 10].find((factor) => factor * magnitude >= rough * 0.999) ?? 10) * magnitude;
  const count = Math.max(1, Math.ceil(top / step - 1e-9));
  // By multiplication, so that 0.1 thrice is not 0.30000000000000004.
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

export interface Frame {
  /** Time at the left and right edge. */
  from: number;
  to: number;
  /** Value at the upper edge; the lower one is 0. */
  top: number;
  width: number;
  height: number;
}

export const x = (frame: Frame, at: number) => ((at - frame.from) / (frame.to - frame.from)) * frame.width;
export const y = (frame: Frame, value: number) => frame.height * (1 - (frame.top > 0 ? Math.min(1, value / frame.top) : 0));

/** Runs of points that belong together: cut where a value is missing or more than `gap` ms lie between two. */
export function runs(points: readonly Point[], gap: number): [number, number][][] {
  const all: [number, number][][] = [];
  let last = -Infinity;
  for (const [at, value] of points) {
    if (value === null || !Number.isFinite(value)) {
      last = -Infinity;
      continue;
    }
    if (at - last > gap) all.push([]);
    all[all.length - 1]?.push([at, value]);
    last = at;
  }
  return all;
}

/** The line through `points`. */
export function line(frame: Frame, points: readonly Point[], gap: number): string {
  return runs(points, gap)
    .map((run) => {
      const [first] = run;
      // A point of its own would be no line at all.
      const dots = run.length === 1 && first ? [first, first] : run;
      return dots.map(([at, value], i) => `${i === 0 ? "M" : "L"}${place(x(frame, at))} ${place(y(frame, value))}`).join("");
    })
    .join("");
}

/** What lies between two sets of values at the same times; `low` may be missing for 0. */
export function area(frame: Frame, high: readonly Point[], gap: number, low: readonly Point[] | null = null): string {
  const floor = new Map(low?.map(([at, value]) => [at, value ?? 0]));
  return runs(high, gap)
    .map((run) => {
      const there = run.map(([at, value]) => `${place(x(frame, at))} ${place(y(frame, value))}`);
      const back = [...run].reverse().map(([at]) => `${place(x(frame, at))} ${place(y(frame, floor.get(at) ?? 0))}`);
      return `M${there.join("L")}L${back.join("L")}Z`;
    })
    .join("");
}

/** The index of the time nearest to `at`, or -1 where there is none. `times` ascend. */
export function nearest(times: readonly number[], at: number): number {
  let low = 0;
  let high = times.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= at) low = middle;
    else high = middle;
  }
  return at - (times[low] as number) <= (times[high] as number) - at ? low : high;
}

/** The encodings' shares on top of each other: for each the upper and the lower edge. `order`: lowest first. */
export function stack(times: readonly number[], shares: readonly (Record<string, number> | null)[], order: readonly string[]): { id: string; low: Point[]; high: Point[] }[] {
  const sums = times.map(() => 0);
  return order.map((id) => {
    const low: Point[] = times.map((at, i) => [at, sums[i] as number]);
    const high: Point[] = times.map((at, i) => {
      const share = shares[i];
      if (!share) return [at, null];
      sums[i] = (sums[i] as number) + (share[id] ?? 0);
      return [at, sums[i] as number];
    });
    return { id, low, high };
  });
}

const place = (number: number) => number.toFixed(1);
