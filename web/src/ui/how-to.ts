// How to publish, with lines to copy that follow the stream name as it is typed.

import { isLoopback, nameProblem, streamUrls } from "../url";
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

export function howTo(): void {
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
  };
  name.addEventListener("input", show);
  byId("name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("to-publish").click();
  });
  show();
}
