// The drawing on the home page: a weir in section, with one line per live stream coming from the
// left and one per viewer leaving to the right.

import { svg } from "./dom";

const CREST_X = 150;
const CREST_Y = 58;
const FLOOR_Y = 168;

/** One line per stream and per viewer, up to what the drawing holds; a dry weir when nothing is live. */
export function diagram(streams: number, viewers: number): SVGSVGElement {
  const inflow = Math.min(streams, 4);
  const outflow = inflow === 0 ? 0 : Math.min(Math.max(viewers, 1), 9);
  return svg(
    `<svg viewBox="0 0 440 190" fill="none" role="presentation">` +
      gauge() +
      (inflow === 0 ? dry() : wet(inflow, outflow, viewers === 0)) +
      `<path class="wall" d="M${CREST_X - 8} ${CREST_Y + 6}h16l14 ${FLOOR_Y - CREST_Y - 6}h-44z"/>` +
      `<path class="floor" d="M34 ${FLOOR_Y + 0.5}H432"/></svg>`,
  );
}

/** A staff gauge, as one stands at every weir. */
function gauge(): string {
  let marks = "";
  for (let i = 0; i <= 11; i++) {
    const y = FLOOR_Y - i * 11;
    marks += `<path class="mark" d="M12 ${y}h${i % 5 === 0 ? 16 : 8}"/>`;
  }
  return `<path class="mark" d="M12 ${FLOOR_Y}V${FLOOR_Y - 128}"/>${marks}`;
}

function dry(): string {
  return (
    `<path class="level dashed" d="M34 ${FLOOR_Y - 26}H${CREST_X - 17}"/>` +
    `<path class="level faint" d="M34 ${FLOOR_Y - 14}H${CREST_X - 19}"/>`
  );
}

function wet(inflow: number, outflow: number, nobody: boolean): string {
  let lines = "";
  const entry = (i: number) => CREST_Y - 6 - (inflow - 1 - i) * 7;
  for (let i = 0; i < inflow; i++) lines += `<path class="flow in" d="M34 ${entry(i)}H${CREST_X - 14}"/>`;
  // Still water below the surface.
  for (let depth = 1; depth <= 5; depth++) {
    const y = CREST_Y + depth * 18;
    lines += `<path class="level" opacity="${(0.5 - depth * 0.07).toFixed(2)}" d="M34 ${y}H${CREST_X - 10 - depth * 2.4}"/>`;
  }
  const top = 84;
  const gap = outflow > 1 ? (FLOOR_Y - 8 - top) / (outflow - 1) : 0;
  for (let i = 0; i < outflow; i++) {
    const from = entry(Math.floor((i * inflow) / outflow));
    const to = outflow > 1 ? top + i * gap : 126;
    lines +=
      `<path class="flow out${nobody ? " dashed" : ""}" ` +
      `d="M${CREST_X - 14} ${from}H${CREST_X}C${CREST_X + 46} ${from} ${CREST_X + 34} ${to} ${CREST_X + 92} ${to}H432"/>`;
  }
  return lines;
}
