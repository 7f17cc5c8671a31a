// Camera, screen and microphone: opening them, and saying in plain words why a browser will not.

import { Problem } from "./problem";
import type { PublishOptions } from "./url";

export interface Wanted extends Pick<PublishOptions, "video" | "audio" | "width" | "height" | "fps" | "music"> {
  /** A device id, or empty for the browser's choice. */
  camera: string;
  microphone: string;
}

export interface Captured {
  video: MediaStreamTrack | null;
  audio: MediaStreamTrack | null;
}

/** What the browser needs before it gives any device away, or `null` if it has that. */
export function captureProblem(): Problem | null {
  if ("mediaDevices" in navigator) return null;
  return new Problem(
    "The browser refuses camera, screen and microphone here",
    "It gives them only to pages on https:// or localhost. Open this page on the server's own machine as " +
      "http://localhost, put the server behind TLS, or publish from OBS or ffmpeg, which do not mind.",
  );
}

/** Opens what is wanted. Throws a `Problem`; nothing stays open then. */
export async function capture(wanted: Wanted): Promise<Captured> {
  const refused = captureProblem();
  if (refused) throw refused;
  const opened: MediaStreamTrack[] = [];
  try {
    if (wanted.video === "screen") opened.push(...(await openScreen(wanted)));
    const camera = wanted.video === "camera";
    if (camera || wanted.audio) {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: camera ? cameraConstraints(wanted) : false,
        audio: wanted.audio ? microphoneConstraints(wanted) : false,
      });
      opened.push(...stream.getTracks());
    }
  } catch (error) {
    for (const track of opened) track.stop();
    throw explain(error, wanted);
  }
  const video = opened.find((track) => track.kind === "video") ?? null;
  const audio = opened.find((track) => track.kind === "audio") ?? null;
  if (video) video.contentHint = wanted.video === "screen" ? "detail" : "";
  if (audio && wanted.music) audio.contentHint = "music";
  return { video, audio };
}

async function openScreen({ width, height, fps }: Wanted): Promise<MediaStreamTrack[]> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } },
    audio: false,
  });
  return stream.getTracks();
}

function cameraConstraints({ camera, width, height, fps }: Wanted): MediaTrackConstraints {
  return {
    ...(camera ? { deviceId: { exact: camera } } : {}),
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: fps },
  };
}

function microphoneConstraints({ microphone, music }: Wanted): MediaTrackConstraints {
  return {
    ...(microphone ? { deviceId: { exact: microphone } } : {}),
    channelCount: music ? 2 : 1,
    echoCancellation: !music,
    noiseSuppression: !music,
    autoGainControl: !music,
  };
}

/** The devices that can be chosen; without names until one was opened. */
export async function devices(): Promise<{ cameras: MediaDeviceInfo[]; microphones: MediaDeviceInfo[] }> {
  const all = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const named = (kind: MediaDeviceKind) => all.filter((device) => device.kind === kind && device.deviceId !== "");
  return { cameras: named("videoinput"), microphones: named("audioinput") };
}

function explain(error: unknown, wanted: Wanted): Problem {
  const { name, message } = error as DOMException;
  const what = wanted.video === "screen" ? "the screen" : wanted.video === "camera" ? "the camera" : "the microphone";
  switch (name) {
    case "NotAllowedError":
      return new Problem("Not allowed", `The browser or the system refused ${what} or the microphone. Allow it beside the address and try again.`);
    case "NotFoundError":
      return new Problem("No such device", `There is no ${wanted.video === "camera" ? "camera" : "microphone"} to open, or it was unplugged.`);
    case "NotReadableError":
      return new Problem("Device busy", "The device is there but cannot be opened. Another program may be using it.");
    case "OverconstrainedError":
      return new Problem("Device not found", "The chosen device is gone or cannot do this. Choose another.");
    case "InvalidStateError":
      return new Problem("Needs a click", "The browser shares a screen only after a click on this page.");
    default:
      return new Problem(`Could not open ${what}`, message || name || "");
  }
}
