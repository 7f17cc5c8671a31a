// The form of /publish: what to send, read from and written to the address, so that a set-up can be
// bookmarked and shared. The token is never written there.

import { sendableCodecs } from "../whip";
import { publishOptions, type PublishOptions, type VideoSource } from "../url";
import * as format from "../format";
import { byId, el } from "./dom";

const SIZES = [[640, 360], [960, 540], [1280, 720], [1920, 1080], [2560, 1440], [3840, 2160]] as const;
const RATES = [15, 24, 25, 30, 50, 60];

export interface FormValues extends PublishOptions {
  camera: string;
  microphone: string;
}

export class PublishForm {
  private readonly initial: PublishOptions;

  /** `changed` gets the name or id of the field. */
  constructor(query: URLSearchParams, changed: (field: string) => void) {
    const options = (this.initial = publishOptions(query));
    this.fill(options);
    byId("settings").addEventListener("change", (event) => {
      const target = event.target as HTMLInputElement;
      this.arrange();
      this.writeAddress();
      changed(target.name || target.id);
    });
    byId("settings").addEventListener("submit", (event) => event.preventDefault());
    this.arrange();
  }

  values(): FormValues {
    const [width, height] = select("resolution").value.split("x").map(Number);
    const bitrate = byId<HTMLInputElement>("bitrate");
    return {
      video: this.video(),
      audio: checked("audio"),
      width: width ?? 1280,
      height: height ?? 720,
      fps: Number(select("fps").value),
      codec: select("codec").value as PublishOptions["codec"],
      simulcast: checked("simulcast"),
      bitrate: bitrate.validity.valid ? Number(bitrate.value) : this.initial.bitrate,
      music: checked("music"),
      prefer: select("prefer").value as PublishOptions["prefer"],
      auto: this.initial.auto,
      camera: select("camera").value,
      microphone: select("microphone").value,
    };
  }

  /** While live, what was negotiated stays. */
  lock(live: boolean): void {
    byId<HTMLFieldSetElement>("encoding").disabled = live;
    byId("locked").hidden = !live;
    const silent = this.video() === "none";
    for (const radio of this.radios()) radio.disabled = live && (silent || radio.value === "none");
    // A smaller picture has fewer layers, and those are negotiated.
    select("resolution").disabled = silent || (live && checked("simulcast"));
    for (const id of ["audio", "music"]) byId<HTMLInputElement>(id).disabled = live;
  }

  /** Lists devices, keeping the choice. */
  devices(cameras: MediaDeviceInfo[], microphones: MediaDeviceInfo[]): void {
    list(select("camera"), cameras, "Camera");
    list(select("microphone"), microphones, "Microphone");
  }

  private fill(options: PublishOptions): void {
    for (const radio of this.radios()) radio.checked = radio.value === options.video;
    byId<HTMLInputElement>("audio").checked = options.audio;
    byId<HTMLInputElement>("music").checked = options.music;
    byId<HTMLInputElement>("simulcast").checked = options.simulcast;
    byId<HTMLInputElement>("bitrate").value = String(options.bitrate);
    select("prefer").value = options.prefer;

    const sizes: [number, number][] = SIZES.map(([w, h]) => [w, h]);
    if (!sizes.some(([w, h]) => w === options.width && h === options.height)) sizes.push([options.width, options.height]);
    sizes.sort((a, b) => a[1] - b[1]);
    select("resolution").replaceChildren(...sizes.map(([w, h]) => el("option", { value: `${w}x${h}` }, format.size(w, h))));
    select("resolution").value = `${options.width}x${options.height}`;

    const rates = [...new Set([...RATES, options.fps])].sort((a, b) => a - b);
    select("fps").replaceChildren(...rates.map((fps) => el("option", { value: String(fps) }, format.fps(fps))));
    select("fps").value = String(options.fps);

    const sendable = "RTCRtpSender" in window ? sendableCodecs() : [];
    const codecs = [el("option", { value: "auto" }, "Automatic")];
    for (const codec of sendable) codecs.push(el("option", { value: codec }, format.codec(codec)));
    select("codec").replaceChildren(...codecs);
    // One that this browser lacks stays in the list: starting says that it cannot, not another codec silently.
    if (options.codec !== "auto" && !sendable.includes(options.codec)) {
      select("codec").append(el("option", { value: options.codec }, `${format.codec(options.codec)} (not in this browser)`));
    }
    select("codec").value = options.codec;
    this.devices([], []);
  }

  /** Hides what has no meaning for the chosen source. */
  private arrange(): void {
    byId("camera-field").hidden = this.video() !== "camera";
    byId("microphone-field").hidden = !checked("audio");
    byId("music-field").hidden = !checked("audio");
    byId("encoding").hidden = this.video() === "none";
    select("fps").disabled = this.video() === "none";
  }

  private video(): VideoSource {
    return (this.radios().find((radio) => radio.checked)?.value ?? "camera") as VideoSource;
  }

  private radios(): HTMLInputElement[] {
    return [...document.querySelectorAll<HTMLInputElement>('input[name="video"]')];
  }

  private writeAddress(): void {
    const now = this.values();
    const plain = publishOptions(new URLSearchParams());
    const query = new URLSearchParams();
    for (const key of Object.keys(plain) as (keyof PublishOptions)[]) {
      if (now[key] === plain[key]) continue;
      query.set(key, typeof now[key] === "boolean" ? (now[key] ? "1" : "0") : String(now[key]));
    }
    const text = query.toString();
    history.replaceState(null, "", text ? `?${text}` : location.pathname);
  }
}

function list(into: HTMLSelectElement, found: MediaDeviceInfo[], what: string): void {
  const chosen = into.value;
  const options = found.map((device, i) => el("option", { value: device.deviceId }, device.label || `${what} ${i + 1}`));
  into.replaceChildren(el("option", { value: "" }, "The browser's choice"), ...options);
  if (found.some((device) => device.deviceId === chosen)) into.value = chosen;
}

function select(id: string): HTMLSelectElement {
  return byId<HTMLSelectElement>(id);
}

function checked(id: string): boolean {
  return byId<HTMLInputElement>(id).checked;
}
