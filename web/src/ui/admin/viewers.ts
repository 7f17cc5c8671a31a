// The viewers of one stream as a table: sortable, at most 200 rows, each row a session to look into.

import type { Viewer } from "../../api";
import * as format from "../../format";
import { arrange, hashOf, type Column, type Order } from "../../viewer-rows";
import { el, setText } from "../dom";

const HEADS: { column: Column; text: string; down: boolean; number?: boolean; extra?: boolean }[] = [
  { column: "since", text: "Since", down: true, extra: true },
  { column: "address", text: "Address", down: false, extra: true },
  { column: "layer", text: "Layer", down: false },
  { column: "bitrate", text: "Bitrate", down: false, number: true },
  { column: "loss", text: "Loss", down: true, number: true },
  { column: "rtt", text: "Round trip", down: true, number: true, extra: true },
  { column: "problem", text: "Problem", down: false },
];

export class ViewersTable {
  readonly root = el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Viewers" });
  private order: Order = { column: "problem", down: false };
  private readonly heads = new Map<Column, HTMLElement>();
  private readonly body = el("tbody");
  private readonly more = el("p", { class: "small", hidden: "" });
  private viewers: readonly Viewer[] = [];
  private stream = "";

  constructor(private readonly kick: (viewer: Viewer) => void) {
    const row = el("tr", {}, el("th", { scope: "col" }, "Session"));
    for (const { column, text, down, number, extra } of HEADS) {
      const button = el("button", { type: "button" }, text);
      const head = el("th", { scope: "col", class: classes(number, extra) }, button);
      button.addEventListener("click", () => {
        this.order = { column, down: this.order.column === column ? !this.order.down : down };
        this.draw();
      });
      this.heads.set(column, head);
      row.append(head);
    }
    row.append(el("th", { scope: "col", class: "row-end" }, el("span", { class: "offscreen" }, "Disconnect")));
    this.root.append(el("table", { class: "viewers-table" }, el("thead", {}, row), this.body), this.more);
  }

  show(stream: string, viewers: readonly Viewer[]): void {
    this.stream = stream;
    this.viewers = viewers;
    this.draw();
  }

  private draw(): void {
    for (const [column, head] of this.heads) {
      if (column === this.order.column) head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const { rows, more } = arrange(this.viewers, this.order);
    // The row with the focus keeps it: rows are rebuilt, so it is found again by its session.
    const held = this.root.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["key"] : undefined;
    this.body.replaceChildren(...rows.map((viewer) => this.row(viewer)));
    if (held) this.body.querySelector<HTMLElement>(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    this.more.hidden = more === 0;
    setText(this.more, `and ${more} more; sort by a column to see its other end`);
  }

  private row(viewer: Viewer): HTMLElement {
    const seconds = (Date.now() - Date.parse(viewer.since)) / 1000;
    const wanted = viewer.wanted_layer !== null && viewer.wanted_layer !== viewer.layer ? ` (asked for ${viewer.wanted_layer})` : "";
    const kick = el("button", { type: "button", class: "button small stop", "data-key": `kick-${viewer.session}`, "aria-label": `Disconnect ${viewer.session}` }, "Disconnect");
    kick.addEventListener("click", () => this.kick(viewer));
    const state = viewer.problem ?? (viewer.state === "playing" ? "" : viewer.state);
    return el(
      "tr",
      {},
      el("td", {}, el("a", { href: hashOf(this.stream, viewer.session), "data-key": viewer.session }, viewer.session)),
      el("td", { class: classes(false, true) }, Number.isFinite(seconds) ? format.duration(seconds) : "–"),
      el("td", { class: `${classes(false, true)} mono` }, viewer.address),
      el("td", {}, (viewer.layer ?? "–") + wanted),
      el("td", { class: "number" }, format.bitrate(viewer.bitrate_bps)),
      el("td", { class: "number" }, viewer.loss === null ? "–" : format.percent(viewer.loss)),
      el("td", { class: classes(true, true) }, viewer.rtt_ms === null ? "–" : format.ms(viewer.rtt_ms)),
      el("td", { class: viewer.problem ? "problem" : "quiet" }, state),
      el("td", { class: "row-end" }, kick),
    );
  }
}

function classes(number?: boolean, extra?: boolean): string {
  return [number ? "number" : "", extra ? "extra" : ""].filter(Boolean).join(" ");
}
