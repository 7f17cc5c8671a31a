// The <weir-player> of a page of ours: set up from the address, and shown to tests.

import type { WeirPlayer } from "../element";
import { expose } from "../handle";
import { currentToken, rememberToken } from "../token";
import { embedOptions, streamUrls } from "../url";

export function ownPlayer(player: WeirPlayer, stream: string): void {
  const options = embedOptions(new URLSearchParams(location.search));
  const token = currentToken();
  if (token) player.token = token;
  if (options.poster) player.poster = options.poster;
  if (options.layer) player.layer = options.layer;
  if (options.background) {
    player.style.setProperty("--weir-background", options.background);
    document.body.style.setProperty("--weir-background", options.background);
  }
  player.via = options.via;
  player.muted = options.muted;
  player.controls = options.controls;
  player.autoplay = options.autoplay;
  player.hotkeys = true;
  const html = document.documentElement;
  player.addEventListener("weir-state", ({ detail }) => {
    html.dataset["state"] = detail.state;
    html.dataset["media"] = detail.media;
    html.dataset["way"] = detail.way;
    // One that was typed into the player serves this tab's other pages too.
    if (["waiting", "playing"].includes(detail.state) && player.usedToken) rememberToken(player.usedToken);
  });
  expose({ player });
  // Last: with this it has all that it needs.
  player.src = streamUrls(location.origin, stream).whep;
}
