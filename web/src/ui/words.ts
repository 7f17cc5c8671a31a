// What the player says over the picture. Pure.

import type { Player } from "../player";
import type { Problem } from "../problem";

export interface Words {
  title: string;
  detail: string;
}

/** What is known of the stream beside the player, see `StreamInfo`. */
export interface Known {
  why: string;
  interrupted: boolean;
}

/** `null` while the picture speaks for itself. */
export function wordsFor(player: Pick<Player, "state" | "media" | "problem" | "publisher" | "via">, known: Known): Words | null {
  switch (player.state) {
    case "stopped":
      return null;
    case "connecting":
      // It has a problem only if that is why it goes another way.
      return { title: "Connecting", detail: player.problem && player.via === "auto" ? `${player.problem.title}. Trying HLS instead of WebRTC.` : "" };
    case "reconnecting":
    case "failed":
      return player.problem?.denied ? denied(player.problem) : player.problem;
    case "waiting":
      return waiting(player, known);
    case "playing":
      return player.media === "audio" ? { title: "Sound only", detail: known.why } : null;
  }
}

function waiting({ media, publisher }: Pick<Player, "media" | "publisher">, { why, interrupted }: Known): Words {
  if (media === "undecodable") {
    return why
      ? { title: "This browser cannot play the stream", detail: why }
      : { title: "Waiting for a whole picture", detail: "Media arrives. The next keyframe starts it." };
  }
  if (why) return { title: "No picture", detail: why };
  if (interrupted) return { title: "The publisher is interrupted", detail: "It has lost its connection and may come back. It goes on by itself then." };
  if (publisher === "gone") return { title: "The publisher has left or is interrupted", detail: "It goes on by itself when the publisher is back." };
  return { title: "Waiting for the publisher", detail: "It starts by itself." };
}

/** Why HLS plays and not WebRTC, and when that is tried again; empty if it does not. */
export function whyNot(detour: Problem | null, returnsAt: number | null, now: number): string {
  if (!detour) return "";
  if (returnsAt === null) return detour.title;
  const seconds = Math.max(0, Math.ceil((returnsAt - now) / 1000));
  return `${detour.title}; tried again ${seconds > 0 ? `in ${seconds} s` : "now"}`;
}

/** The server's own words tell a program what to send; a person has a field for it. */
function denied(problem: Problem): Words {
  return problem.status === 401
    ? { title: "This stream needs a token", detail: "Whoever publishes it, or runs this server, has one." }
    : { title: "This token is not accepted", detail: "It may be for another stream, or mistyped." };
}
