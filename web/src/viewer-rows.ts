// The viewers' table as data: in which order, how many, what they say. Pure.

import type { Viewer } from "./api";

export const COLUMNS = ["since", "address", "layer", "bitrate", "loss", "rtt", "problem"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Order {
  column: Column;
  down: boolean;
}

/** A table of thousands serves nobody; what is left out is counted. */
export const MOST_ROWS = 200;

export function sortKey(viewer: Viewer, column: Column): string | number | null {
  switch (column) {
    case "since":
      return Date.parse(viewer.since) || null;
    case "address":
      return viewer.address;
    case "layer":
      return viewer.layer;
    case "bitrate":
      return viewer.bitrate_bps;
    case "loss":
      return viewer.loss;
    case "rtt":
      return viewer.rtt_ms;
    case "problem":
      return viewer.problem;
  }
}

/** Sorted, with those who have nothing to say in that column last, and cut. */
export function arrange(viewers: readonly Viewer[], { column, down }: Order, most = MOST_ROWS): { rows: Viewer[]; more: number } {
  const rows = [...viewers].sort((a, b) => {
    const [x, y] = [sortKey(a, column), sortKey(b, column)];
    if (x === y) return a.session.localeCompare(b.session);
    if (x === null) return 1;
    if (y === null) return -1;
    const ascending = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return (down ? -ascending : ascending) || a.session.localeCompare(b.session);
  });
  return { rows: rows.slice(0, most), more: Math.max(0, rows.length - most) };
}

/** `#/demo` and `#/demo/1a2b3c4d` as what they show. */
export function placeOf(hash: string): { stream: string | null; session: string | null } {
  const [, stream = "", session = ""] = /^#\/([^/]*)(?:\/([^/]+))?$/.exec(hash) ?? [];
  try {
    return { stream: decodeURIComponent(stream) || null, session: decodeURIComponent(session) || null };
  } catch {
    return { stream: null, session: null };
  }
}

export function hashOf(stream: string | null, session: string | null = null): string {
  if (stream === null) return "#/";
  return `#/${encodeURIComponent(stream)}${session === null ? "" : `/${encodeURIComponent(session)}`}`;
}
