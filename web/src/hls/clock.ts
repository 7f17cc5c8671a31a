// What time it is at the server, from the Date (and Age) of its answers: a viewer's own clock may be wrong by
// minutes, and a latency by it would be a lie. A Date is cut to the second, so that one answer bounds the
// difference to a second or so; each further answer cuts the bounds, to a few hundredths after some seconds. Pure.

/** How fast two good clocks may drift apart. */
const DRIFT = 1e-4;
const SECOND = 1000;

export class ServerClock {
  /** The server's clock less ours lies between these, in ms. */
  private least = -Infinity;
  private most = Infinity;
  private heardAt = 0;

  /**
   * An answer: `date` in ms since 1970 and `ageSeconds` (`null`: not from a cache) by its headers; asked for
   * and begun to arrive at these times of our clock, in ms of any one origin.
   */
  hear(date: number, ageSeconds: number | null, askedAt: number, answeredAt: number): void {
    if (![date, ageSeconds ?? 0, askedAt, answeredAt].every(Number.isFinite)) return;
    const made = date + (ageSeconds ?? 0) * SECOND;
    const least = made - answeredAt;
    // An age is cut to the second too.
    const most = made + (ageSeconds === null ? 1 : 2) * SECOND - askedAt;
    const apart = Math.max(0, answeredAt - this.heardAt) * DRIFT;
    this.heardAt = Math.max(this.heardAt, answeredAt);
    const both = [Math.max(least, this.least - apart), Math.min(most, this.most + apart)] as const;
    // One of the clocks was set: what was known is worth nothing.
    [this.least, this.most] = both[0] <= both[1] ? both : [least, most];
  }

  /** The server's clock at our `now`, in ms since 1970, or `null` as long as it has said nothing. */
  at(now: number): number | null {
    return this.least === -Infinity ? null : now + (this.least + this.most) / 2;
  }

  /** By how much `at` may be wrong, in ms. */
  get error(): number {
    return (this.most - this.least) / 2;
  }
}

/** What the headers of an answer say of time; `null`: nothing. */
export function timesOf(header: (name: string) => string | null): { date: number; age: number | null } | null {
  const date = Date.parse(header("Date") ?? "");
  if (!Number.isFinite(date)) return null;
  const age = header("Age");
  return { date, age: age !== null && /^\d{1,9}$/.test(age.trim()) ? Number(age) : null };
}
