// Tells by its numbers that a connection is no longer heard: nothing comes by its pair, not even answers to STUN checks. The
// browser says so too, but late: Chromium after seven seconds and more, and a server lets go of who is silent for ten.

/** Nothing for so long, and so many checks since then without an answer: one alone may have been lost. */
const SILENT_MS = 2000;
const UNANSWERED = 2;

/** An `RTCIceCandidatePairStats`, or another entry; what a browser does not count is not there. */
interface Entry {
  type: string;
  selectedCandidatePairId?: string;
  bytesReceived?: number;
  responsesReceived?: number;
  requestsSent?: number;
}

/** One connection's. Pure: time is an argument. */
export class Silence {
  private heard = "";
  private heardAt = 0;
  private sentBy = 0;

  /** Takes a report at `now` (ms of any one clock); whether it is silent. */
  sample(now: number, report: ReadonlyMap<string, unknown>): boolean {
    const entries = report as ReadonlyMap<string, Entry>;
    const transport = [...entries.values()].find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
    const id = transport?.selectedCandidatePairId ?? "";
    const pair = entries.get(id);
    const sent = pair?.requestsSent ?? 0;
    const heard = `${id} ${pair?.bytesReceived} ${pair?.responsesReceived}`;
    if (heard !== this.heard) [this.heard, this.heardAt, this.sentBy] = [heard, now, sent];
    return now - this.heardAt >= SILENT_MS && sent - this.sentBy >= UNANSWERED;
  }
}
