// One stream: what is wrong with it, its charts, who publishes and who watches.

import { videoEncodings, viewerCount, type Encoding, type History, type Publisher, type Stream, type Viewer } from "../../api";
import { stack, type Point } from "../../chart";
import * as format from "../../format";
import { hashOf } from "../../viewer-rows";
import { byId, el, setText } from "../dom";
import { STATE, facts } from "../stream-card";
import { Chart, Cursor, type Series } from "./charts";
import { ViewersTable } from "./viewers";

const MINUTE = 60_000;
const MOST_MINUTES = 5;

export interface DetailActions {
  kickPublisher(stream: Stream): void;
  kickViewer(viewer: Viewer): void;
}

export class Detail {
  private readonly cursor = new Cursor();
  private readonly charts = {
    in: new Chart("In from the publisher", format.bitrate, this.cursor, 100_000),
    out: new Chart("Out to all viewers", format.bitrate, this.cursor, 100_000),
    layers: new Chart("Viewers per layer", String, this.cursor, 3, true),
    lost: new Chart("Packets lost on the way in", String, this.cursor, 3, true),
    loss: new Chart("Loss at the viewers, mean", format.percent, this.cursor, 0.03),
    rtt: new Chart("Round trip to the viewers, mean", format.ms, this.cursor, 30),
  };
  private readonly table: ViewersTable;
  private stream: Stream | null = null;
  private shown = "";

  constructor(actions: DetailActions) {
    this.table = new ViewersTable((viewer) => actions.kickViewer(viewer));
    byId("charts").append(...Object.values(this.charts).map((chart) => chart.root));
    byId("viewers").append(this.table.root);
    byId("kick-publisher").addEventListener("click", () => this.stream && actions.kickPublisher(this.stream));
  }

  /** `stream` is `null` where nobody publishes or watches it. */
  show(name: string, stream: Stream | null, history: History | null, viewers: readonly Viewer[], watchAt: string): void {
    this.stream = stream;
    setText(byId("detail-name"), name);
    const state = byId("detail-state");
    setText(state, stream ? (STATE[stream.state] ?? stream.state) : "not there");
    state.dataset["state"] = stream?.state ?? "ended";
    byId<HTMLAnchorElement>("detail-watch").href = watchAt;
    byId("kick-publisher").hidden = !stream?.publisher;
    byId("detail-gone").hidden = stream !== null;
    this.warnings(stream?.warnings ?? []);
    this.publisher(name, stream);
    this.history(stream, history);
    setText(byId("viewers-title"), viewers.length > 0 ? format.count(viewers.length, "viewer") : "No viewers");
    this.table.root.hidden = viewers.length === 0;
    this.table.show(name, viewers);
  }

  private warnings(warnings: Stream["warnings"]): void {
    const list = byId("detail-warnings");
    list.hidden = warnings.length === 0;
    const key = JSON.stringify(warnings);
    if (list.dataset["key"] === key) return;
    list.dataset["key"] = key;
    list.replaceChildren(...warnings.map((warning) => el("li", {}, warning.text)));
  }

  private publisher(name: string, stream: Stream | null): void {
    const section = byId("publisher");
    section.hidden = stream === null;
    if (!stream) return;
    const encodings = videoEncodings(stream);
    const all = [...publisherFacts(name, stream.publisher), ...facts(stream, Date.now()).map(([label, value]) => [label, value] as Fact)];
    const key = JSON.stringify([name, all.map(([label, value]) => [label, typeof value === "string" ? value : value.textContent]), encodings]);
    if (key === this.shown) return;
    this.shown = key;
    byId("publisher-facts").replaceChildren(...all.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
    setText(byId("publisher-title"), stream.publisher ? "Publisher" : "Nobody publishes");
    byId("encodings-box").hidden = encodings.length === 0;
    byId("encodings").replaceChildren(...encodings.map(encodingRow));
  }

  private history(stream: Stream | null, history: History | null): void {
    const samples = history?.samples.filter(({ at }) => Number.isFinite(Date.parse(at))) ?? [];
    byId("charts").hidden = history === null;
    byId("no-history").hidden = history !== null || stream === null;
    if (!history) return;
    const times = samples.map(({ at }) => Date.parse(at));
    const to = times[times.length - 1] ?? Date.now();
    // A young stream is shown larger than the five minutes that it will fill.
    const minutes = Math.min(MOST_MINUTES, Math.max(1, Math.ceil((to - (times[0] ?? to)) / MINUTE)));
    const span = { from: to - minutes * MINUTE, to, interval: history.interval_ms };
    const points = (value: (index: number) => number | null): Point[] => times.map((at, i) => [at, value(i)]);
    const one = (look: string, value: (sample: History["samples"][number]) => number | null): Series[] => [
      { name: "", look, points: points((i) => value(samples[i] as History["samples"][number]) ?? null) },
    ];
    this.charts.in.show(span, one("water", (sample) => sample.publisher_bitrate_bps));
    this.charts.out.show(span, one("water", (sample) => sample.viewers_bitrate_bps));
    this.charts.lost.show(span, one("bad", (sample) => sample.publisher_lost));
    this.charts.loss.show(span, one("bad", (sample) => sample.viewers_loss));
    this.charts.rtt.show(span, one("water", (sample) => sample.viewers_rtt_ms));
    this.charts.layers.show(span, layerSeries(stream, samples, times));
  }
}

type Fact = [label: string, value: string | HTMLElement];

function publisherFacts(stream: string, publisher: Publisher | null): Fact[] {
  if (!publisher) return [];
  const all: Fact[] = [["Address", publisher.address]];
  if (publisher.user_agent) all.push(["Program", el("span", { class: "program", title: publisher.user_agent }, publisher.user_agent)]);
  all.push(["Protocol", publisher.protocol.toUpperCase()]);
  if (publisher.session) all.push(["Session", el("a", { href: hashOf(stream, publisher.session) }, publisher.session)]);
  return all;
}

function encodingRow(encoding: Encoding): HTMLElement {
  const { id, origin, width, height, fps, bitrate_bps, keyframe_interval_ms, lost, active, b_frames } = encoding;
  const cells = [
    format.size(width, height) || "–",
    format.fps(fps),
    format.bitrate(bitrate_bps),
    keyframe_interval_ms ? `${(keyframe_interval_ms / 1000).toFixed(1)} s` : "–",
    String(lost),
    origin === "bridge" ? "made here" : active ? (b_frames ? "B-frames" : "arrives") : "silent",
  ];
  return el("tr", {}, el("th", { scope: "row" }, id), ...cells.map((text) => el("td", {}, text)));
}

/** One band per encoding, the lowest at the bottom; those who wait for one on top of all. */
function layerSeries(stream: Stream | null, samples: History["samples"], times: number[]): Series[] {
  const known = stream ? videoEncodings(stream).map((encoding) => encoding.id).reverse() : [];
  const past = samples.flatMap(({ layers }) => Object.keys(layers ?? {}));
  const order = [...new Set([...known, ...past])].slice(0, 6);
  const shares = samples.map(({ layers }) => layers);
  return stack(times, shares, order)
    .map(({ id, low, high }, i) => ({
      name: id,
      look: `layer-${i % 4}`,
      points: times.map((at, n): Point => [at, shares[n] ? (shares[n]?.[id] ?? 0) : null]),
      between: { low, high },
    }))
    .reverse();
}

/** What the title of the page says of all streams together. */
export function summary(streams: readonly Stream[], bits: number): string {
  const live = streams.filter((stream) => stream.publisher !== null).length;
  const viewers = streams.reduce((sum, stream) => sum + viewerCount(stream), 0);
  return `${format.count(live, "stream")} in, ${format.bitrate(bits)}; ${format.count(viewers, "viewer")}`;
}
