// /watch/{stream}: the player with its facts below and links to share. `?token=…` where watching
// needs one; the options of /embed work here too.

import * as format from "../format";
import type { Player } from "../player";
import { copies } from "../ui/copy";
import { byId, setText } from "../ui/dom";
import { nameless } from "../ui/nameless";
import { Stage } from "../ui/stage";
import { themeButton } from "../ui/theme";
import { embedOptions, streamFromPath, streamUrls } from "../url";

const PILL: Record<Player["state"], string> = {
  connecting: "connecting",
  waiting: "waiting",
  playing: "live",
  reconnecting: "reconnecting",
  failed: "cannot play",
  stopped: "stopped",
};

function show(player: Player): void {
  const pill = byId("state");
  setText(pill, PILL[player.state]);
  pill.dataset["state"] = player.state;
  const { video, audio } = player.numbers ?? {};
  const facts = [];
  if (player.state === "playing") {
    if (player.media === "video" && video) {
      facts.push(format.codec(video.codec), format.size(video.width, video.height), format.fps(video.fps));
    }
    if (audio && audio.packets > 0) facts.push(`${audio.codec}${audio.channels === 2 ? " stereo" : ""}`);
    facts.push(format.bitrate((video?.bitrateBps ?? 0) + (audio?.bitrateBps ?? 0)));
  }
  setText(byId("facts"), facts.filter(Boolean).join("  ·  "));
}

themeButton();
const stream = streamFromPath(location.pathname);
if (stream === null) {
  nameless(byId("main"));
} else {
  document.title = `${stream} · Weir`;
  setText(byId("stream-name"), stream);
  const urls = streamUrls(location.origin, stream);
  copies(byId<HTMLButtonElement>("copy-link"), () => urls.watch);
  copies(
    byId<HTMLButtonElement>("copy-embed"),
    () =>
      `<iframe src="${urls.embed}" width="640" height="360" style="border:0" ` +
      `allow="autoplay; fullscreen; picture-in-picture" title="${stream}"></iframe>`,
  );
  new Stage(byId("stage"), stream, embedOptions(new URLSearchParams(location.search)), show);
}
