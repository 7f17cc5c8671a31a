// How to publish, with lines to copy that follow the stream name as it is typed.

import type { Server } from "../api";
import { isLoopback, nameProblem, rtmpServer, streamUrls } from "../url";
import { copyable } from "./copy";
import { byId, setText } from "./dom";

/** The ffmpeg command for a file; off the server's machine it needs the server's token. */
export function ffmpegLine(whip: string, needsToken: boolean): string {
  const token = needsToken ? ' -authorization "TOKEN"' : "";
  return (
    "ffmpeg -re -i input.mp4 -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -g 60 " +
    `-c:a libopus -ac 2 -f whip${token} "${whip}"`
  );
}

/** A file as it is, to an RTMP server with this key. */
export function rtmpLine(server: string, key: string): string {
  return `ffmpeg -re -i input.mp4 -c copy -f flv "${server}/${key}"`;
}

/** Returns what to tell the server's description to, whenever it is read. */
export function howTo(): (server: Server | null) => void {
  const name = byId<HTMLInputElement>("name");
  const local = isLoopback(location.hostname);
  setText(byId("name-prefix"), `${location.host}/watch/`);
  setText(
    byId("obs-token"),
    local ? "leave it empty on this machine" : "the token that weir printed when it started",
  );
  setText(
    byId("secure-note"),
    window.isSecureContext ? "" : "On this address the browser will refuse the camera: it wants https:// or localhost.",
  );
  const server = copyable(byId("obs-server"), "the server address");
  const ffmpeg = copyable(byId("ffmpeg"), "the ffmpeg command");
  const rtmp = copyable(byId("rtmp-server"), "the RTMP server address");
  const rtmpKey = copyable(byId("rtmp-key"), "the stream key");
  const ffmpegCopy = copyable(byId("ffmpeg-copy"), "the ffmpeg command");
  setText(byId("rtmp-token"), local ? "" : "Put the token that weir printed when it started in place of TOKEN.");
  let contribution: string | null = rtmpServer(location.hostname, null);
  const watch = copyable(byId("watch-link"), "the link to watch", true);

  const show = () => {
    const stream = name.value.trim();
    const problem = nameProblem(stream);
    setText(byId("name-problem"), problem ?? "");
    name.setAttribute("aria-invalid", String(problem !== null));
    const link = byId<HTMLAnchorElement>("to-publish");
    if (problem !== null) {
      link.removeAttribute("href");
      link.setAttribute("aria-disabled", "true");
      return;
    }
    const urls = streamUrls(location.origin, stream);
    link.href = urls.publish;
    link.removeAttribute("aria-disabled");
    server(urls.whip);
    ffmpeg(ffmpegLine(urls.whip, !local));
    watch(urls.watch);
    showRtmp(stream);
  };
  const showRtmp = (stream: string) => {
    byId("obs-rtmp").hidden = byId("ffmpeg-rtmp").hidden = contribution === null;
    byId<HTMLDetailsElement>("obs-whip").open ||= contribution === null;
    if (contribution === null) return;
    const key = local ? stream : `${stream}?token=TOKEN`;
    rtmp(contribution);
    rtmpKey(key);
    ffmpegCopy(rtmpLine(contribution, key));
  };
  name.addEventListener("input", show);
  byId("name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("to-publish").click();
  });
  show();
  return (server) => {
    // Who may not ask the API sees the usual port.
    if (server === null) return;
    const now = rtmpServer(location.hostname, server);
    if (now === contribution) return;
    contribution = now;
    show();
  };
}
