// HLS by the browser itself, where it has no Media Source Extensions: Safari on older iPhones. It goes its own pace.

import { Problem } from "../problem";
import { withToken, type Engine, type Start } from "./engine";

const TYPE = "application/vnd.apple.mpegurl";
/** What the browser does not tell: how far behind the end it is meant to be. */
const HOLD_BACK_S = 2;

/** Whether this browser can. */
export function playsHls(video: HTMLVideoElement): boolean {
  return video.canPlayType(TYPE) !== "";
}

/** Begins at once. */
export function native({ video, url, token, events }: Start): Engine {
  const life = new AbortController();
  const { signal } = life;
  video.srcObject = null;
  video.src = withToken(url, token);
  video.addEventListener("ended", () => events.ended(), { signal });
  video.addEventListener(
    "error",
    () => events.lost(new Problem("Playing by HLS has stopped", video.error?.message ?? "")),
    { signal },
  );
  // Safari's; of others only some have it.
  const dated = video as HTMLVideoElement & { getStartDate?: () => Date };
  return {
    layers: [],
    reach() {
      const { seekable } = video;
      if (seekable.length === 0) return null;
      return { start: seekable.start(0), end: seekable.end(seekable.length - 1), holdBack: HOLD_BACK_S };
    },
    playingDate() {
      const began = dated.getStartDate?.().getTime() ?? NaN;
      return Number.isFinite(began) ? began + video.currentTime * 1000 : null;
    },
    choose() {
      // It chooses by itself.
    },
    facts: () => ({ videoCodec: "", audioCodec: "", videoBps: 0, audioBps: 0 }),
    close() {
      life.abort();
      video.removeAttribute("src");
      video.load();
    },
  };
}
