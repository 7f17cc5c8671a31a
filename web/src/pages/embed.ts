// /embed/{stream}: the bare player for an iframe.
//   ?muted=0|1      start without sound (default 1; browsers may insist)
//   ?controls=0|1   show controls on hover and focus (default 1)
//   ?autoplay=0|1   start at once (default 1)
//   ?token=…        where watching needs one

import { byId } from "../ui/dom";
import { nameless } from "../ui/nameless";
import { Stage } from "../ui/stage";
import { embedOptions, streamFromPath } from "../url";

const stream = streamFromPath(location.pathname);
if (stream === null) {
  nameless(byId("stage"));
} else {
  document.title = `${stream} · Weir`;
  new Stage(byId("stage"), stream, embedOptions(new URLSearchParams(location.search)));
}
