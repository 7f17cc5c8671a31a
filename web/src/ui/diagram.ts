// The drawing on the home page: a weir in section, with one line per live stream coming from the
// left and one per viewer leaving to the right.

import { svg } from "./dom";

/** The drawing's bottom is the river bed, which the page draws as a line of its own. */
const BED = 168;
/** Upstream face and crest of the wall. */
const FACE = 150;
const CREST = 60;
const RIGHT = 440;

/** One line per stream and per viewer, up to what the drawing holds; a dry weir when nothing is live. */
export function diagram(streams: number, viewers: number): SVGSVGElement {
  const inflow = Math.min(streams, 4);
  const outflow = inflow === 0 ? 0 : Math.min(Math.max(viewers, 1), 9);
  return svg(
    `<svg viewBox="0 0 ${RIGHT} ${BED}" fill="none" role="presentation">` +
      gauge() +
      (inflow === 0 ? dry() : wet(inflow, outflow, viewers === 0)) +
      // An ogee: upright against the water, a curve down to the bed behind.
      `<path class="wall" d="M${FACE} ${BED}V${CREST + 3}h9c14 0 13 34 24 66 6 17 14 34 33 ${BED - CREST - 69}z"/></svg>`,
  );
}

/** A staff gauge, as one stands at every weir. */
function gauge(): string {
  let marks = "";
  for (let i = 1; i <= 11; i++) {
    const y = BED - i * 11;
    marks += `<path class="mark" d="M4 ${y}h${i % 5 === 0 ? 18 : 9}"/>`;
  }
  return `<path class="mark" d="M4 ${BED}V${BED - 128}"/>${marks}`;
}

/** Water that does not reach the crest. */
function dry(): string {
  let lines = "";
  for (let depth = 0; depth < 5; depth++) {
    lines += `<path class="level" opacity="${(0.9 - depth * 0.17).toFixed(2)}" d="M30 ${BED - 64 + depth * 13}H${FACE - 4}"/>`;
  }
  return `${lines}<path class="level dashed" d="M30 ${CREST - 6}H${FACE - 4}"/>`;
}

function wet(inflow: number, outflow: number, nobody: boolean): string {
  let lines = "";
  const entry = (i: number) => CREST - 7 - (inflow - 1 - i) * 7;
  for (let i = 0; i < inflow; i++) lines += `<path class="flow in" d="M30 ${entry(i)}H${FACE}"/>`;
  // Still water below the surface.
  for (let depth = 1; depth <= 7; depth++) {
    const y = CREST - 4 + depth * 13;
    lines += `<path class="level" opacity="${(0.6 - depth * 0.065).toFixed(2)}" d="M30 ${y}H${FACE - 4}"/>`;
  }
  const top = 78;
  const gap = outflow > 1 ? (BED - 14 - top) / (outflow - 1) : 0;
  for (let i = 0; i < outflow; i++) {
    const from = entry(Math.floor((i * inflow) / outflow));
    const to = outflow > 1 ? top + i * gap : 118;
    lines +=
      `<path class="flow out${nobody ? " dashed" : ""}" ` +
      `d="M${FACE} ${from}h8C${FACE + 62} ${from} ${FACE + 52} ${to} ${FACE + 116} ${to}H${RIGHT}"/>`;
  }
  return lines;
}
