// Whether media arrives, judged from counters alone, so that it also works in a hidden tab, where no
// frame callback fires. Pure: time is an argument.

/** Nothing new for this long: it has stopped. */
export const STALL_MS = 3000;
/** Sound without pictures for this long: there are none, they are not merely late. */
const AUDIO_ALONE_MS = 1500;
/** After the server's word that the publisher is gone: what still comes was on its way. */
const SETTLE_MS = 700;

/** Running totals. */
export interface Counters {
  frames: number;
  videoPackets: number;
  audioPackets: number;
}

/**
 * - `nothing`: the publisher is not there
 * - `undecodable`: pictures arrive and cannot be shown yet, as a rule for want of a keyframe
 * - `audio`: sound alone
 * - `video`: pictures, perhaps with sound
 */
export type Media = "nothing" | "undecodable" | "audio" | "video";

export class Flow {
  private last: Counters | null = null;
  private changedAt: { [K in keyof Counters]: number } = { frames: -Infinity, videoPackets: -Infinity, audioPackets: -Infinity };
  private audioSince = Infinity;
  private settledAt = -Infinity;

  /** The publisher is gone since `now`, by the server's word: nothing flows, until something comes after all. */
  ended(now: number): void {
    this.settledAt = now + SETTLE_MS;
  }

  /** The publisher is back, by the server's word: what comes from now on counts. */
  begun(): void {
    this.settledAt = -Infinity;
  }

  /** Takes the counters at `now` (milliseconds of any one clock) and says what flows. */
  sample(now: number, counters: Counters): Media {
    if (now < this.settledAt) {
      this.last = { ...counters };
      this.changedAt = { frames: -Infinity, videoPackets: -Infinity, audioPackets: -Infinity };
      this.audioSince = Infinity;
      return "nothing";
    }
    for (const key of ["frames", "videoPackets", "audioPackets"] as const) {
      // The first look is compared with nothing received, and a smaller number is a new session.
      if (counters[key] !== (this.last?.[key] ?? 0)) this.changedAt[key] = now;
    }
    this.last = { ...counters };
    const flows = (key: keyof Counters) => now - this.changedAt[key] < STALL_MS;

    if (!flows("audioPackets")) this.audioSince = Infinity;
    else if (this.audioSince === Infinity) this.audioSince = now;

    if (flows("frames")) return "video";
    const noPictures = now - this.changedAt.videoPackets >= AUDIO_ALONE_MS;
    if (noPictures && now - this.audioSince >= AUDIO_ALONE_MS) return "audio";
    return flows("videoPackets") || flows("audioPackets") ? "undecodable" : "nothing";
  }
}
