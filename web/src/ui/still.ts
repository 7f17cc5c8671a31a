// The last picture, kept over the video while that gets another source: a media element goes black
// for a moment then, and nobody should see that.

import { el } from "./dom";

export class Still {
  readonly root = el("canvas", { class: "still", "aria-hidden": "true", hidden: "" });
  private taken = 0;

  constructor(private readonly video: HTMLVideoElement) {}

  /** Takes what is shown now, if anything is, and keeps it until the next picture. */
  take(): void {
    const { video, root } = this;
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.videoWidth === 0) return;
    root.width = video.videoWidth;
    root.height = video.videoHeight;
    try {
      root.getContext("2d")?.drawImage(video, 0, 0);
    } catch {
      // No memory for it, or a picture that a script may not touch: then it is black for a moment.
      return;
    }
    root.hidden = false;
    const taken = ++this.taken;
    const next = () => taken === this.taken && this.drop();
    // The old source may still have a frame on its way: the new one's are counted from its first data on.
    video.addEventListener("loadeddata", () => this.nextFrame(next), { once: true });
  }

  drop(): void {
    this.taken += 1;
    if (this.root.hidden) return;
    this.root.hidden = true;
    // Gives the memory back.
    this.root.width = this.root.height = 0;
  }

  private nextFrame(then: () => void): void {
    const { video } = this;
    if (!("requestVideoFrameCallback" in video) || document.hidden) return then();
    // It is there as soon as there is data; the callback comes when it is really on the screen.
    const late = setTimeout(then, 500);
    video.requestVideoFrameCallback(() => {
      clearTimeout(late);
      then();
    });
  }
}
