// What a page shows of itself to automated browser tests and to a curious person in the console:
//
//   document.documentElement.dataset.state   connecting | waiting | playing | reconnecting | failed | stopped  (player)
//                                            idle | connecting | live | reconnecting | failed                  (publisher)
//   document.documentElement.dataset.media   nothing | undecodable | audio | video                             (player)
//   document.documentElement.dataset.way     webrtc | hls                                                      (player)
//   window.weir.state                        the same as dataset.state
//   window.weir.problem                      why it is reconnecting or failed, or null
//   window.weir.pc                           the RTCPeerConnection now in use, or null
//   window.weir.stats()                      the numbers on the page (see stats.ts); null without a connection
//   window.weir.player / .publisher          the <weir-player> or the publisher itself

import type { WeirPlayer } from "./element";
import type { Problem } from "./problem";
import type { Publisher } from "./publisher";
import { StatsReader, type PublisherStats, type ViewerStats } from "./stats";

export interface Handle {
  readonly player: WeirPlayer | null;
  readonly publisher: Publisher | null;
  readonly pc: RTCPeerConnection | null;
  readonly state: string;
  readonly problem: Problem | null;
  stats(): Promise<ViewerStats | PublisherStats | null>;
}

declare global {
  interface Window {
    weir: Handle;
  }
}

/** Puts `window.weir` in place. */
export function expose(what: { player: WeirPlayer } | { publisher: Publisher }): void {
  const player = "player" in what ? what.player : null;
  const publisher = "publisher" in what ? what.publisher : null;
  const it = (player ?? publisher) as WeirPlayer | Publisher;
  // A reader of its own: the page's has its rates from the page's own intervals.
  const reader = new StatsReader();
  window.weir = {
    player,
    publisher,
    get pc() {
      return it.pc;
    },
    get state() {
      return it.state;
    },
    get problem() {
      return it.problem;
    },
    async stats() {
      if (player) return player.stats();
      const report = await it.pc?.getStats();
      return report ? reader.publisher(report) : null;
    },
  };
}
