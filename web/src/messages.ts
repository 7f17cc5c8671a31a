// The embedded player and the page around it talk by postMessage. Out, to whoever has framed us:
// what anybody may know who sees the picture, never a token. In: orders, from our parent window only.

import type { WeirPlayer } from "./element";

/** What the page around may order. */
export type Order =
  | { type: "play" | "pause" | "stop" | "mute" | "unmute" | "report" }
  /** An encoding's id; `null`: the highest. */
  | { type: "layer"; layer: string | null }
  /** 0 to 1. */
  | { type: "volume"; volume: number };

const PLAIN = ["play", "pause", "stop", "mute", "unmute", "report"] as const;

/** The order that `data` is, or `null`: messages of other libraries fly about too. Pure. */
export function orderOf(data: unknown): Order | null {
  if (typeof data !== "object" || data === null) return null;
  const { target, type, layer, volume } = data as Record<string, unknown>;
  if (target !== "weir") return null;
  const plain = PLAIN.find((one) => one === type);
  if (plain) return { type: plain };
  if (type === "layer" && (layer === null || layer === undefined)) return { type, layer: null };
  if (type === "layer" && typeof layer === "string" && layer.length <= 64) return { type, layer: layer || null };
  if (type === "volume" && typeof volume === "number" && volume >= 0 && volume <= 1) return { type, volume };
  return null;
}

/** Passes on the player's events to the parent, and its orders to the player. */
export function connectParent(player: WeirPlayer, stream: string): void {
  const { parent } = window;
  if (parent === window) return;
  const say = (type: string, detail: object) => parent.postMessage({ source: "weir", stream, ...detail, type }, "*");
  const state = () => ({ state: player.state, media: player.media, way: player.way, paused: player.paused, muted: player.muted });
  for (const type of ["state", "error", "layers", "viewercount"] as const) {
    player.addEventListener(`weir-${type}`, (event) => say(type, event.detail));
  }
  let second = false;
  player.addEventListener("weir-stats", (event) => {
    // Twice a second is for eyes.
    if ((second = !second)) say("stats", event.detail);
  });

  window.addEventListener("message", (event) => {
    if (event.source !== parent) return;
    const order = orderOf(event.data);
    switch (order?.type) {
      case "play":
        return void player.play();
      case "pause":
        return player.pause();
      case "stop":
        return player.stop();
      case "mute":
        player.muted = true;
        return;
      case "unmute": {
        const { paused } = player;
        player.muted = false;
        // Chrome pauses it if nobody has touched this page yet; `play` goes on, without sound if it must.
        if (!paused) void player.play();
        return;
      }
      case "volume":
        player.volume = order.volume;
        return;
      case "layer":
        player.layer = order.layer ?? "";
        return;
      case "report":
        say("state", state());
        say("layers", { layers: player.layers, layer: player.layer || null });
        if (player.viewers !== null) say("viewercount", { count: player.viewers });
    }
  });
}
