// Level lines that move like slow water: what a viewer sees while nothing is there to show, and,
// with `--level` set from the sound, what a stream without pictures looks like.

import { svg } from "./dom";

const WIDTH = 1200;

/** One period repeats exactly, so that sliding by it never shows a seam. */
function line(y: number, height: number, period: number): string {
  let d = `M${-period} ${y}`;
  for (let x = -period; x < WIDTH + period; x += period) {
    const quarter = period / 4;
    d += `q${quarter} ${-height} ${quarter * 2} 0t${quarter * 2} 0`;
  }
  return d;
}

export function waves(): SVGSVGElement {
  const lines = [
    [40, 10, 600],
    [64, 8, 400],
    [88, 9, 600],
    [112, 6, 300],
    [136, 7, 400],
  ] as const;
  const paths = lines.map(
    ([y, height, period]) => `<g><path vector-effect="non-scaling-stroke" d="${line(y, height, period)}"/></g>`,
  );
  const root = svg(
    `<svg class="waves" viewBox="0 0 ${WIDTH} 160" preserveAspectRatio="none" fill="none" aria-hidden="true">${paths.join("")}</svg>`,
  );
  // By script and not by `style="…"`, which the server's content security policy forbids.
  root.querySelectorAll("g").forEach((group, i) => {
    const [y, , period] = lines[i] ?? [0, 0, 0];
    group.style.setProperty("--y", `${y}px`);
    group.style.setProperty("--i", String(i));
    group.style.setProperty("--period", `${period}px`);
  });
  return root;
}
