// Numbers and times as a person reads them. Pure.

/** `2.5 Mb/s`, `640 kb/s`. */
export function bitrate(bps: number): string {
  if (bps >= 1e6) return `${(bps / 1e6).toFixed(bps >= 1e7 ? 0 : 1)} Mb/s`;
  return `${Math.round(bps / 1e3)} kb/s`;
}

/** `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
}

/** `0:07`, `12:34`, `1:02:03`. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** `1280×720`, or nothing if unknown. */
export function size(width: number | null, height: number | null): string {
  return width && height ? `${width}×${height}` : "";
}

/** `30 fps`: a rate that was measured over a second is no more exact. */
export function fps(value: number): string {
  return `${Math.round(value)} fps`;
}

/** `H.264`, `VP8`, `Opus`. */
export function codec(name: string): string {
  const known: Record<string, string> = { h264: "H.264", h265: "H.265", opus: "Opus", aac: "AAC" };
  return known[name.toLowerCase()] ?? name.toUpperCase();
}

export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(fraction > 0 && fraction < 0.1 ? 1 : 0)} %`;
}

export function ms(value: number): string {
  if (value < 1) return "< 1 ms";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** `0.9 s`, `14 s`. */
export function seconds(value: number): string {
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} s`;
}

/** `1 viewer`, `3 viewers`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
