// Bit rates of what was loaded last, over the time that it plays for. Pure.

/** Seconds of media that count. */
const SPAN_S = 4;

interface Piece {
  bytes: number;
  seconds: number;
}

export class Rates {
  private readonly pieces: Record<"audio" | "video", Piece[]> = { audio: [], video: [] };

  add(kind: "audio" | "video", bytes: number, seconds: number): void {
    if (!(seconds > 0)) return;
    const list = this.pieces[kind];
    list.push({ bytes, seconds });
    let span = list.reduce((sum, piece) => sum + piece.seconds, 0);
    while (list.length > 1 && span - (list[0]?.seconds ?? 0) >= SPAN_S) span -= list.shift()?.seconds ?? 0;
  }

  bps(kind: "audio" | "video"): number {
    const list = this.pieces[kind];
    const seconds = list.reduce((sum, piece) => sum + piece.seconds, 0);
    return seconds > 0 ? (list.reduce((sum, piece) => sum + piece.bytes, 0) * 8) / seconds : 0;
  }
}
