// The live statistics of /publish.

import * as format from "../format";
import type { PublisherStats, SentLayer } from "../stats";
import { byId, el, setText } from "./dom";
import { Sparkline } from "./sparkline";

const LAYER_NAMES: Record<string, string> = { f: "full", h: "half", q: "quarter" };

/** `qualityLimitationReason` for a person. */
export function limitation(layer: Pick<SentLayer, "limitation">): string {
  switch (layer.limitation) {
    case "none":
      return "nothing";
    case "cpu":
      return "this machine’s power";
    case "bandwidth":
      return "the network";
    default:
      return "something else";
  }
}

export class PublishNumbers {
  private readonly spark = new Sparkline(byId("spark"));

  show(stats: PublisherStats): void {
    // The first reading has no rates yet.
    if (byId("numbers").hidden && stats.bitrateBps === 0) return;
    byId("numbers").hidden = false;
    this.spark.push(stats.bitrateBps);
    setText(byId("n-bitrate"), format.bitrate(stats.bitrateBps));
    const top = stats.layers.find((layer) => layer.active) ?? stats.layers[0];
    const packets = stats.layers.reduce((sum, layer) => sum + layer.packets, stats.audio?.packets ?? 0);
    const resent = stats.layers.reduce((sum, layer) => sum + layer.retransmitted, 0);
    const cells: [string, string][] = [
      ["Round trip", stats.rttMs === null ? "–" : format.ms(stats.rttMs)],
      ["Lost on the way", loss(worst(stats))],
      ["Sent again", packets ? format.percent(resent / packets) : "–"],
      ["Network allows", stats.availableBps === null ? "–" : format.bitrate(stats.availableBps)],
    ];
    if (top) cells.unshift(["Codec", format.codec(stats.codec)]);
    if (stats.audio) cells.push(["Sound", `${stats.audio.codec} ${format.bitrate(stats.audio.bitrateBps)}`]);
    byId("stats").replaceChildren(
      ...cells.map(([label, value]) =>
        el("div", { class: "stat" }, el("span", { class: "label" }, label), el("span", { class: "value" }, value)),
      ),
    );
    byId("layers").replaceChildren(...stats.layers.map(row));
    const table = byId("layers").closest<HTMLElement>(".table-scroll");
    if (table) table.hidden = stats.layers.length === 0;
    setText(byId("encoder"), top?.encoder ? `Encoder: ${top.encoder}` : "");
  }

  clear(): void {
    byId("numbers").hidden = true;
    this.spark.clear();
  }
}

function row(layer: SentLayer): HTMLTableRowElement {
  const name = LAYER_NAMES[layer.rid] ?? (layer.rid || "single");
  const idle = !layer.active;
  return el(
    "tr",
    idle ? { class: "idle" } : {},
    el("th", { scope: "row" }, name),
    el("td", {}, idle ? "not sent" : format.size(layer.width, layer.height)),
    el("td", {}, idle ? "" : format.fps(layer.fps)),
    el("td", {}, format.bitrate(layer.bitrateBps)),
    el("td", {}, loss(layer.loss)),
    el("td", {}, String(layer.retransmitted)),
    el("td", {}, idle && layer.limitation === "none" ? "–" : limitation(layer)),
  );
}

function worst(stats: PublisherStats): number | null {
  const all = [...stats.layers.map((layer) => layer.loss), stats.audio?.loss ?? null];
  const known = all.filter((value): value is number => value !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

function loss(fraction: number | null): string {
  return fraction === null ? "–" : format.percent(fraction);
}
