// /watch/{stream}: the player with its facts below and links to share. `?token=…` where watching
// needs one; the options of /embed work here too.

import type { WeirPlayer } from "../element";
import "../element";
import * as format from "../format";
import { sounds } from "../stats";
import { copies } from "../ui/copy";
import { byId, setText } from "../ui/dom";
import { nameless } from "../ui/nameless";
import { themeButton } from "../ui/theme";
import { streamFromPath, streamUrls } from "../url";
import { ownPlayer } from "./own-player";

const PILL: Record<WeirPlayer["state"], string> = {
  connecting: "connecting",
  waiting: "waiting",
  playing: "live",
  reconnecting: "reconnecting",
  failed: "cannot play",
  stopped: "stopped",
};

function show(player: WeirPlayer): void {
  const pill = byId("state");
  setText(pill, PILL[player.state]);
  pill.dataset["state"] = player.state;
  const { video, audio } = player.numbers ?? {};
  const facts = [];
  if (player.state === "playing") {
    if (player.media === "video" && video) {
      facts.push(format.codec(video.codec), format.size(video.width, video.height), format.fps(video.fps));
    }
    if (audio && sounds(player.numbers)) facts.push(`${audio.codec}${audio.channels === 2 ? " stereo" : ""}`);
    facts.push(format.bitrate((video?.bitrateBps ?? 0) + (audio?.bitrateBps ?? 0)));
    const hls = player.numbers?.hls;
    if (hls) facts.push(hls.latencyMs === null ? "HLS" : `HLS, ${format.seconds(hls.latencyMs / 1000)} behind`);
  }
  if (player.viewers !== null) facts.push(`${player.viewers} watching`);
  setText(byId("facts"), facts.filter(Boolean).join("  ·  "));
  byId("facts").title = player.detour ? `Not by WebRTC: ${player.detour.title}. It is tried again by itself.` : "";
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
  const player = document.querySelector("weir-player");
  if (player) {
    for (const type of ["weir-state", "weir-stats", "weir-viewercount"]) player.addEventListener(type, () => show(player));
    ownPlayer(player, stream);
  }
}
