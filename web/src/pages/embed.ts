// /embed/{stream}: the bare player for an iframe. What its address and its messages mean is in
// docs/embedding.md; the messages themselves are in messages.ts.

import "../element";
import { connectParent } from "../messages";
import { byId } from "../ui/dom";
import { nameless } from "../ui/nameless";
import { streamFromPath } from "../url";
import { ownPlayer } from "./own-player";

const stream = streamFromPath(location.pathname);
if (stream === null) {
  nameless(byId("main"));
} else {
  document.title = `${stream} · Weir`;
  const player = document.querySelector("weir-player");
  if (player) {
    ownPlayer(player, stream);
    connectParent(player, stream);
  }
}
