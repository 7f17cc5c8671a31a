// Charts of the last minutes, drawn by hand: lines and areas as SVG that stretches, axes and values
// as text that does not. All charts share one cursor: what is under the pointer in one is read off
// in all of them.

import { area, line, nearest, ticks, x, y, type Frame, type Point } from "../../chart";
import { el, setText, svg } from "../dom";

const WIDTH = 600;
const HEIGHT = 120;

/** What the charts show together: the time under the pointer, or `null`. */
export class Cursor {
  at: number | null = null;
  private readonly watching: (() => void)[] = [];

  watch(moved: () => void): void {
    this.watching.push(moved);
  }

  move(at: number | null): void {
    this.at = at;
    for (const moved of this.watching) moved();
  }
}

export interface Series {
  name: string;
  /** Class of its line or area. */
  look: string;
  /** What is read off. */
  points: Point[];
  /** The area between two edges; without it a line. */
  between?: { low: Point[]; high: Point[] };
}

export interface Span {
  from: number;
  to: number;
  /** Between two samples; half again as much is a gap. */
  interval: number;
}

export class Chart {
  readonly root: HTMLElement;
  private readonly plot = el("div", { class: "plot", tabindex: "0", role: "slider", "aria-valuemin": "0" });
  private readonly drawing = svg(`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true"></svg>`);
  private readonly scale = el("div", { class: "scale", "aria-hidden": "true" });
  private readonly times = el("div", { class: "times", "aria-hidden": "true" });
  private readonly hair = el("i", { class: "hair", hidden: "" });
  private readonly values = el("p", { class: "chart-values" });
  private readonly nothing = el("p", { class: "chart-nothing" }, "nothing to show yet");
  private span: Span = { from: 0, to: 1, interval: 1 };
  private series: Series[] = [];
  private samples: number[] = [];

  constructor(
    private readonly title: string,
    private readonly format: (value: number) => string,
    private readonly cursor: Cursor,
    /** The upper edge is never below that: noise shall not look like a storm. */
    private readonly least: number,
    /** It counts things: no halves at the axis. */
    private readonly whole = false,
  ) {
    this.plot.append(this.drawing, this.hair, this.nothing);
    const head = el("figcaption", {}, el("span", { class: "chart-title" }, title), this.values);
    this.root = el("figure", { class: "chart" }, head, el("div", { class: "chart-body" }, this.scale, this.plot), this.times);
    cursor.watch(() => this.read());
    this.plot.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.plot.addEventListener("pointerleave", () => cursor.move(null));
    this.plot.addEventListener("blur", () => cursor.move(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  show(span: Span, series: Series[]): void {
    this.span = span;
    this.series = series;
    this.samples = series[0]?.points.map(([at]) => at) ?? [];
    const edges = series.flatMap(({ points, between }) => (between?.high ?? points).map(([, value]) => value ?? 0));
    const steps = ticks(Math.max(this.least, ...edges), this.whole);
    const frame: Frame = { ...span, top: steps[steps.length - 1] ?? 1, width: WIDTH, height: HEIGHT };
    const gap = span.interval * 2.5;
    const shapes = steps.slice(1).map((step) => `<path class="grid" d="M0 ${y(frame, step)}H${WIDTH}"/>`);
    for (const { look, points, between } of series) {
      if (between) shapes.push(`<path class="area ${look}" d="${area(frame, between.high, gap, between.low)}"/>`);
      else shapes.push(`<path class="area ${look}" d="${area(frame, points, gap)}"/>`, `<path class="line ${look}" d="${line(frame, points, gap)}"/>`);
    }
    this.drawing.replaceChildren(...svg(`<svg>${shapes.join("")}</svg>`).childNodes);
    this.nothing.hidden = series.some(({ points }) => points.some(([, value]) => value !== null));
    this.axes(frame, steps);
    this.read();
  }

  private axes(frame: Frame, steps: number[]): void {
    this.scale.replaceChildren(
      ...steps.map((step) => {
        const label = el("span", {}, step === 0 ? "0" : this.format(step));
        label.style.top = `${(y(frame, step) / HEIGHT) * 100}%`;
        return label;
      }),
    );
    const minutes = Math.round((frame.to - frame.from) / 60_000);
    this.times.replaceChildren(
      ...Array.from({ length: minutes + 1 }, (_, i) => {
        const label = el("span", {}, i === minutes ? "now" : i === 0 ? `−${minutes} min` : `−${minutes - i}`);
        label.style.left = `${(x(frame, frame.to - (minutes - i) * 60_000) / WIDTH) * 100}%`;
        return label;
      }),
    );
  }

  /** Says the values under the cursor, or the newest. */
  private read(): void {
    const at = this.at;
    const index = at === null ? this.samples.length - 1 : nearest(this.samples, at);
    const time = this.samples[index];
    this.hair.hidden = at === null || time === undefined;
    if (time !== undefined) this.hair.style.left = `${this.share(time) * 100}%`;
    const said = this.series.map(({ name, look, points }) => {
      const value = points[index]?.[1] ?? null;
      return { name, look, text: value === null ? "–" : this.format(value) };
    });
    this.values.replaceChildren(
      ...(at !== null && time !== undefined ? [el("span", { class: "chart-time" }, new Date(time).toLocaleTimeString())] : []),
      ...said.map(({ name, look, text }) => el("span", { class: "chart-value" }, el("i", { class: `swatch ${look}` }), name ? `${name} ` : "", el("b", {}, text))),
    );
    const spoken = said.map(({ name, text }) => `${name} ${text}`.trim()).join(", ");
    const clock = time === undefined ? "" : `${new Date(time).toLocaleTimeString()}: `;
    this.plot.setAttribute("aria-label", `${this.title}, last ${Math.round((this.span.to - this.span.from) / 60_000)} minutes`);
    this.plot.setAttribute("aria-valuemax", String(Math.max(0, this.samples.length - 1)));
    this.plot.setAttribute("aria-valuenow", String(Math.max(0, index)));
    this.plot.setAttribute("aria-valuetext", this.nothing.hidden ? clock + spoken : "nothing to show yet");
  }

  /** The time under the cursor, or `null`: also where that has slid out at the left. */
  private get at(): number | null {
    const { at } = this.cursor;
    return at === null || at < this.span.from ? null : at;
  }

  /** Where a time lies between the edges, 0 to 1. */
  private share(time: number): number {
    return Math.min(1, Math.max(0, (time - this.span.from) / (this.span.to - this.span.from)));
  }

  private point(clientX: number): void {
    const box = this.plot.getBoundingClientRect();
    const share = box.width > 0 ? Math.min(1, Math.max(0, (clientX - box.left) / box.width)) : 0;
    this.cursor.move(this.span.from + share * (this.span.to - this.span.from));
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const now = nearest(this.samples, this.at ?? Infinity);
    const next = this.samples[Math.min(this.samples.length - 1, Math.max(0, now + step))];
    if (next !== undefined) this.cursor.move(Math.max(next, this.span.from));
  }
}

/** Sets a heading's text and whether its section is there at all. */
export function titled(section: HTMLElement, heading: HTMLElement, text: string): void {
  section.hidden = text === "";
  setText(heading, text);
}
