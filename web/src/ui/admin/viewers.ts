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

/** One viewer, updated in place, so that clicks, focus and selection survive the polling. */
class Row {
  readonly root = el("tr");
  private readonly since = el("td", { class: classes(false, true) });
  private readonly address = el("td", { class: `${classes(false, true)} mono` });
  private readonly layer = el("td");
  private readonly bitrate = el("td", { class: "number" });
  private readonly loss = el("td", { class: "number" });
  private readonly rtt = el("td", { class: classes(true, true) });
  private readonly problem = el("td");

  constructor(
    stream: string,
    private viewer: Viewer,
    kick: (viewer: Viewer) => void,
  ) {
    const { session } = viewer;
    const button = el("button", { type: "button", class: "button small stop", "aria-label": `Disconnect ${session}` }, "Disconnect");
    button.addEventListener("click", () => kick(this.viewer));
    const link = el("td", {}, el("a", { href: hashOf(stream, session) }, session));
    this.root.append(link, this.since, this.address, this.layer, this.bitrate, this.loss, this.rtt, this.problem, el("td", { class: "row-end" }, button));
  }

  update(viewer: Viewer): void {
    this.viewer = viewer;
    const seconds = (Date.now() - Date.parse(viewer.since)) / 1000;
    const wanted = viewer.wanted_layer !== null && viewer.wanted_layer !== viewer.layer ? ` (asked for ${viewer.wanted_layer})` : "";
    setText(this.since, Number.isFinite(seconds) ? format.duration(seconds) : "–");
    setText(this.address, viewer.address);
    setText(this.layer, (viewer.layer ?? "–") + wanted);
    setText(this.bitrate, format.bitrate(viewer.bitrate_bps));
    setText(this.loss, viewer.loss === null ? "–" : format.percent(viewer.loss));
    setText(this.rtt, viewer.rtt_ms === null ? "–" : format.ms(viewer.rtt_ms));
    this.problem.className = viewer.problem ? "problem" : "quiet";
    setText(this.problem, viewer.problem ?? (viewer.state === "playing" ? "" : viewer.state));
  }
}

export class ViewersTable {
  readonly root = el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Viewers" });
  private order: Order = { column: "problem", down: false };
  private readonly heads = new Map<Column, HTMLElement>();
  private readonly body = el("tbody");
  private readonly more = el("p", { class: "small", hidden: "" });
  private viewers: readonly Viewer[] = [];
  /** By session. */
  private readonly rows = new Map<string, Row>();
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
    if (stream !== this.stream) {
      this.stream = stream;
      this.rows.clear();
      this.body.replaceChildren();
    }
    this.viewers = viewers;
    this.draw();
  }

  private draw(): void {
    for (const [column, head] of this.heads) {
      if (column === this.order.column) head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const { rows, more } = arrange(this.viewers, this.order);
    this.arrange(rows);
    this.more.hidden = more === 0;
    setText(this.more, `and ${more} more; sort by a column to see its other end`);
  }

  private arrange(viewers: readonly Viewer[]): void {
    const sessions = new Set(viewers.map((viewer) => viewer.session));
    for (const [session, row] of this.rows) {
      if (sessions.has(session)) continue;
      row.root.remove();
      this.rows.delete(session);
    }
    const held = document.activeElement;
    for (const [at, viewer] of viewers.entries()) {
      let row = this.rows.get(viewer.session);
      if (!row) this.rows.set(viewer.session, (row = new Row(this.stream, viewer, this.kick)));
      row.update(viewer);
      const there = this.body.children[at];
      if (there === row.root) continue;
      // One that has fallen goes itself, instead of all that it stood above.
      if (there && this.body.children[at + 1] === row.root) this.body.append(there);
      else this.body.insertBefore(row.root, there ?? null);
    }
    // A row that was moved has lost the focus.
    if (held instanceof HTMLElement && held !== document.activeElement && this.body.contains(held)) held.focus({ preventScroll: true });
  }
}

function classes(number?: boolean, extra?: boolean): string {
  return [number ? "number" : "", extra ? "extra" : ""].filter(Boolean).join(" ");
}
