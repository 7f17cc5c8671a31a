// The overview: a tile per stream, updated in place.

import { sourceEncodings, viewerCount, type Stream } from "../../api";
import * as format from "../../format";
import { hashOf } from "../../viewer-rows";
import { el, setText } from "../dom";
import { Sparkline } from "../sparkline";
import { STATE, totalBitrate } from "../stream-card";

class Tile {
  readonly root: HTMLElement;
  private readonly state = el("span", { class: "pill" });
  private readonly picture = el("p", { class: "tile-picture" });
  private readonly bitrate = el("b");
  private readonly viewers = el("b");
  private readonly warnings = el("span", { class: "tile-warnings" });
  private readonly spark: Sparkline;

  constructor(name: string) {
    const holder = el("div", { class: "spark", "aria-hidden": "true" });
    this.spark = new Sparkline(holder, 90);
    const link = el("a", { href: hashOf(name), title: name }, name);
    this.root = el(
      "li",
      { class: "card tile" },
      el("div", { class: "card-head" }, el("h3", {}, link), this.state),
      this.picture,
      holder,
      el(
        "p",
        { class: "tile-numbers" },
        el("span", {}, this.bitrate, " in"),
        el("span", {}, this.viewers),
        this.warnings,
      ),
    );
  }

  update(stream: Stream): void {
    const video = stream.tracks.find((track) => track.kind === "video");
    const audio = stream.tracks.find((track) => track.kind === "audio");
    const encodings = sourceEncodings(stream);
    const best = encodings.find((encoding) => encoding.active) ?? encodings[0];
    const words = [
      video ? format.codec(video.codec) : audio ? "sound only" : "",
      best ? format.size(best.width, best.height) : "",
      best && best.fps > 0 ? format.fps(best.fps) : "",
      encodings.length > 1 ? format.count(encodings.length, "layer") : "",
    ];
    setText(this.state, STATE[stream.state] ?? stream.state);
    this.state.dataset["state"] = stream.state;
    this.root.dataset["state"] = stream.state;
    setText(this.picture, words.filter(Boolean).join(" · ") || "nothing arrives");
    const bits = totalBitrate(stream);
    setText(this.bitrate, format.bitrate(bits));
    setText(this.viewers, format.count(viewerCount(stream), "viewer"));
    this.warnings.hidden = stream.warnings.length === 0;
    setText(this.warnings, format.count(stream.warnings.length, "warning"));
    this.spark.push(bits);
  }
}

export class Tiles {
  private readonly tiles = new Map<string, Tile>();

  constructor(private readonly list: HTMLElement) {}

  show(streams: readonly Stream[]): void {
    const names = new Set(streams.map((stream) => stream.name));
    for (const [name, tile] of this.tiles) {
      if (names.has(name)) continue;
      tile.root.remove();
      this.tiles.delete(name);
    }
    const order = [...streams].sort(
      (a, b) => Number(b.publisher !== null) - Number(a.publisher !== null) || a.name.localeCompare(b.name, "en", { numeric: true }),
    );
    for (const [at, stream] of order.entries()) {
      let tile = this.tiles.get(stream.name);
      if (!tile) this.tiles.set(stream.name, (tile = new Tile(stream.name)));
      tile.update(stream);
      // Moving a tile takes the focus from it: only when its place is another.
      if (this.list.children[at] !== tile.root) this.list.insertBefore(tile.root, this.list.children[at] ?? null);
    }
  }
}
