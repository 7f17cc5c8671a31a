// How fast to play so that it stays as near to live as the playlist asks (PART-HOLD-BACK): a little faster
// behind that, a little slower before it, nothing that is heard as another pitch. Far behind, after a stall or
// a tab that slept, it jumps. Each stall moves the aim back a little, which time takes off again. Pure.

export interface Place {
  /** Seconds behind the end of what the server has. */
  behind: number;
  /** Seconds behind it that the server asks for. */
  target: number;
  /** Seconds that are here to be played. */
  ahead: number;
  /** It has only just begun: a jump disturbs nobody yet. */
  fresh: boolean;
}

/** So near to the aim is good enough. */
const NEAR = 0.06;
/** Farther behind than that it jumps: to what is here already, and to what is not. */
const JUMP = 1.5;
const FAR_JUMP = 3;
const FRESH_JUMP = 0.4;
const FASTEST = 1.1;
const SLOWEST = 0.95;
/** Rate per second off the aim. */
const STEEP = 0.15;
/** Never plays faster into less than that. */
const THIN = 0.3;

const STALL_S = 0.25;
const MARGIN_MOST_S = 2;
/** A margin is halved in that time. */
const FORGET_MS = 120_000;

export class Pace {
  private margin = 0;
  private at = 0;

  /** Playing ran dry at `now` (ms of any one clock). */
  stalled(now: number): void {
    this.margin = Math.min(this.extra(now) + STALL_S, MARGIN_MOST_S);
    this.at = now;
  }

  /** Seconds behind the end to aim at. */
  aim(now: number, target: number): number {
    return target + this.extra(now);
  }

  /** The playback rate, or `jump`: to the aim at once. */
  rate(now: number, { behind, target, ahead, fresh }: Place): number | "jump" {
    const off = behind - this.aim(now, target);
    if (off > (fresh ? FRESH_JUMP : ahead > off + THIN ? JUMP : FAR_JUMP)) return "jump";
    if (off > NEAR && ahead > THIN) return rounded(Math.min(FASTEST, 1 + off * STEEP));
    if (off < -NEAR) return rounded(Math.max(SLOWEST, 1 + off * STEEP));
    return 1;
  }

  private extra(now: number): number {
    return this.margin * 2 ** ((this.at - now) / FORGET_MS);
  }
}

/** Each change costs the sound a little: not for thousandths. */
function rounded(rate: number): number {
  return Math.round(rate * 100) / 100;
}
