// WHIP, the publisher's side (RFC 9725): one RTCPeerConnection that sends at most one video and one
// audio track, the video in one to three encodings (simulcast, RFC 8853).

import { watchConnection, type ConnectionEvents } from "./connection";
import { Problem } from "./problem";
import { offer, type Session, useIceServers } from "./resource";
import { Restarts } from "./restart";
import { acceptedKinds, withOpusParameters } from "./sdp";
import type { CodecChoice, Preference } from "./url";

export interface Sending {
  video: MediaStreamTrack | null;
  audio: MediaStreamTrack | null;
  codec: CodecChoice;
  simulcast: boolean;
  /** kbit/s of the highest layer; 0 leaves it to the browser. */
  bitrate: number;
  /** Stereo Opus at a bitrate for music. */
  music: boolean;
  prefer: Preference;
}

const MUSIC_BPS = 160_000;

/** The simulcast layers, lowest first as Chromium wants them: a quarter, half and full of each side. */
export const LAYERS = [
  { rid: "q", scale: 4, share: 0.1, least: 100_000 },
  { rid: "h", scale: 2, share: 0.3, least: 300_000 },
  { rid: "f", scale: 1, share: 1, least: 0 },
] as const;

/**
 * How many layers a picture of this many pixels gets. Chromium has the same limits, but where it
 * has fewer layers than asked for it leaves out the largest.
 */
function layerCount(pixels: number): number {
  if (pixels >= 960 * 540) return 3;
  return pixels >= 480 * 270 ? 2 : 1;
}

/** `sendEncodings` for what is asked, for a picture of `pixels` (width × height). */
export function encodings(
  sending: Pick<Sending, "codec" | "simulcast" | "bitrate">,
  pixels: number,
): RTCRtpEncodingParameters[] {
  const top = sending.bitrate * 1000;
  const layers = sending.simulcast ? LAYERS.slice(-layerCount(pixels)) : [];
  if (layers.length < 2) return [top > 0 ? { maxBitrate: top } : {}];
  // VP9 and AV1 would put the layers into one SVC stream; VP8 and H.264 cannot.
  const mode = sending.codec === "vp9" || sending.codec === "av1" ? { scalabilityMode: "L1T1" } : {};
  return layers.map(({ rid, scale, share, least }) => ({
    rid,
    scaleResolutionDownBy: scale,
    ...(top > 0 ? { maxBitrate: Math.min(top, Math.max(least, Math.round(top * share))) } : {}),
    ...mode,
  }));
}

function pixelsOf(video: MediaStreamTrack): number {
  const { width, height } = video.getSettings();
  return width && height ? width * height : Infinity;
}

/** The codecs to offer, in order: the chosen one with what it needs for repair, or `null` for all. */
export function preferred(choice: CodecChoice, all: readonly RTCRtpCodec[]): RTCRtpCodec[] | null {
  if (choice === "auto") return null;
  const wanted = `video/${choice}`;
  const chosen = all.filter(
    (codec) =>
      codec.mimeType.toLowerCase() === wanted &&
      // Mode 0 cannot carry a picture larger than a datagram; servers forward mode 1.
      (choice !== "h264" || /packetization-mode=1/.test(codec.sdpFmtpLine ?? "")),
  );
  const repair = all.filter((codec) => codec.mimeType.toLowerCase() === "video/rtx");
  return chosen.length > 0 ? [...chosen, ...repair] : null;
}

/** Which choices this browser can encode. */
export function sendableCodecs(): CodecChoice[] {
  const all = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
  return (["h264", "vp8", "vp9", "av1"] as const).filter((choice) => preferred(choice, all) !== null);
}

/** How long media may go on while the DELETE is under way. */
const DELETE_MS = 500;

export class WhipClient {
  readonly pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private session: Session | null = null;
  private readonly aborted = new AbortController();
  private unwatch = () => {};

  constructor(private readonly sending: Sending) {
    const stream = new MediaStream();
    const { video, audio } = sending;
    if (video) {
      const transceiver = this.pc.addTransceiver(video, {
        direction: "sendonly",
        streams: [stream],
        sendEncodings: encodings(sending, pixelsOf(video)),
      });
      const order = preferred(sending.codec, RTCRtpSender.getCapabilities("video")?.codecs ?? []);
      if (order) transceiver.setCodecPreferences(order);
      else if (sending.codec !== "auto") {
        throw new Problem("Codec not available", `This browser cannot send ${sending.codec.toUpperCase()}.`, 406);
      }
    }
    if (audio) {
      const sendEncodings = sending.music ? [{ maxBitrate: MUSIC_BPS }] : [{}];
      this.pc.addTransceiver(audio, { direction: "sendonly", streams: [stream], sendEncodings });
    }
  }

  /** Negotiates. Throws a `Problem`; afterwards `events` tell how it goes. */
  async connect(endpoint: string, token: string | null, events: ConnectionEvents): Promise<void> {
    const stereo = { stereo: "1", "sprop-stereo": "1" };
    const describe = (sdp: string) => (this.sending.music ? withOpusParameters(sdp, stereo) : sdp);
    const local = describe((await this.pc.createOffer()).sdp ?? "");
    await this.pc.setLocalDescription({ type: "offer", sdp: local });
    await this.applyPreference();
    const answer = await offer(endpoint, local, token, this.aborted.signal);
    if (this.aborted.signal.aborted) {
      await answer.session.end();
      throw new Problem("Stopped", "");
    }
    this.session = answer.session;
    if (acceptedKinds(answer.sdp).length < this.pc.getTransceivers().length) {
      throw new Problem("Not accepted", "The server refused the video or the audio: no codec in common.", 406);
    }
    useIceServers(this.pc, answer.session);
    // What the answer says of stereo is what the encoder does.
    const remote = this.sending.music ? withOpusParameters(answer.sdp, { stereo: "1" }) : answer.sdp;
    await this.pc.setRemoteDescription({ type: "answer", sdp: remote });
    const watching: ConnectionEvents = {
      ...events,
      lost: (problem, closed) => {
        // What the server has ended is not there to be deleted.
        if (closed) this.session = null;
        events.lost(problem, closed);
      },
    };
    const restarts = new Restarts(this.pc, answer.session, remote, describe);
    this.unwatch = watchConnection(this.pc, answer.sdp, watching, restarts);
  }

  /** Sends another camera, screen or microphone from now on. */
  async replace(track: MediaStreamTrack): Promise<void> {
    for (const sender of this.pc.getSenders()) {
      if (sender.track?.kind === track.kind) await sender.replaceTrack(track);
    }
  }

  /** Ends the session on both sides. The tracks stay as they are. */
  close(): void {
    this.aborted.abort();
    this.unwatch();
    const ended = this.session?.end();
    this.session = null;
    // In this order: closing says goodbye over UDP, and the DELETE would find nothing.
    void Promise.race([ended, new Promise((late) => setTimeout(late, DELETE_MS))]).then(() => this.pc.close());
  }

  private async applyPreference(): Promise<void> {
    const wanted = { balanced: "balanced", resolution: "maintain-resolution", motion: "maintain-framerate" } as const;
    const sender = this.pc.getSenders().find((candidate) => candidate.track?.kind === "video");
    if (!sender || this.sending.prefer === "balanced") return;
    const parameters = sender.getParameters() as RTCRtpSendParameters & { degradationPreference?: string };
    parameters.degradationPreference = wanted[this.sending.prefer];
    await sender.setParameters(parameters).catch(() => undefined); // Firefox has none: its default stays.
  }
}
