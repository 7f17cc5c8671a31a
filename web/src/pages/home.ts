// /: what is live, polled while somebody looks, and how to publish.

import { getReady, getServer, getStreams, viewerCount, type Server, type Stream } from "../api";
import * as format from "../format";
import { toProblem, type Problem } from "../problem";
import { currentToken, rememberToken } from "../token";
import { byId, setText } from "../ui/dom";
import { diagram } from "../ui/diagram";
import { howTo } from "../ui/how-to";
import { StreamCard, totalBitrate } from "../ui/stream-card";
import { themeButton } from "../ui/theme";

const POLL_MS = 2000;

const publishing = howTo();
const cards = new Map<string, StreamCard>();
let drawn = "";
let timer = 0;

async function poll(): Promise<void> {
  clearTimeout(timer);
  if (document.hidden) return;
  const token = currentToken();
  const [streams, server, ready] = await Promise.all([
    getStreams(token).catch(toProblem),
    getServer(token).catch(() => null),
    getReady(),
  ]);
  showServer(server, ready);
  publishing(server);
  if (Array.isArray(streams)) showStreams(streams);
  else showProblem(streams, token !== null);
  timer = window.setTimeout(() => void poll(), POLL_MS);
}

function showServer(server: Server | null, ready: boolean | null): void {
  const chip = byId("server");
  chip.dataset["state"] = ready === null ? "down" : ready ? "ok" : "busy";
  setText(chip, ready === null ? "not reachable" : ready ? "healthy" : "not ready");
  const uptime = server?.uptime_seconds;
  const words = server ? [`weir ${server.version}`, typeof uptime === "number" ? `up ${format.duration(uptime)}` : ""] : [];
  setText(byId("version"), words.filter(Boolean).join(" · "));
}

function showStreams(streams: Stream[]): void {
  byId("access").hidden = true;
  const flowing = streams.filter((stream) => stream.publisher !== null);
  const viewers = streams.reduce((sum, stream) => sum + viewerCount(stream), 0);
  const bits = flowing.reduce((sum, stream) => sum + totalBitrate(stream), 0);
  headline(
    flowing.length === 0 ? "Nothing is flowing yet." : `${format.count(flowing.length, "stream")} in.`,
    flowing.length === 0
      ? "Publish from a browser, OBS or ffmpeg. It reaches every viewer in well under a second."
      : `${format.bitrate(bits)} from ${format.count(flowing.length, "publisher")}, out to ${format.count(viewers, "viewer")}.`,
  );
  draw(flowing.length, viewers);

  const list = byId("streams");
  const names = new Set(streams.map((stream) => stream.name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.root.remove();
    cards.delete(name);
  }
  const now = Date.now();
  for (const [at, stream] of sorted(streams).entries()) {
    let card = cards.get(stream.name);
    if (!card) cards.set(stream.name, (card = new StreamCard(stream.name)));
    card.update(stream, now);
    // Moving a card takes the focus from it: only when its place is another.
    if (list.children[at] !== card.root) list.insertBefore(card.root, list.children[at] ?? null);
  }
  byId("live").hidden = streams.length === 0;
}

/** Those with a publisher first, then by name. */
function sorted(streams: Stream[]): Stream[] {
  return [...streams].sort(
    (a, b) => Number(b.publisher !== null) - Number(a.publisher !== null) || a.name.localeCompare(b.name),
  );
}

function showProblem(problem: Problem, hadToken: boolean): void {
  draw(0, 0);
  byId("live").hidden = true;
  byId("access").hidden = !problem.denied;
  if (problem.denied) {
    headline("One weir, many streams.", "What is live here is shown to those who may know.");
    setText(
      byId("access-why"),
      hadToken
        ? "The token given was not accepted. weir prints it when it starts, and keeps it in its data folder."
        : "Only the server's own machine sees the list without one. weir prints the token when it starts.",
    );
  } else {
    headline(problem.title, problem.detail || "Trying again every two seconds.");
  }
}

function headline(title: string, lead: string): void {
  setText(byId("headline"), title);
  setText(byId("lead"), lead);
}

function draw(streams: number, viewers: number): void {
  const key = `${streams} ${viewers}`;
  if (key === drawn) return;
  drawn = key;
  byId("diagram").replaceChildren(diagram(streams, viewers));
}

themeButton();
byId("access-form").addEventListener("submit", (event) => {
  event.preventDefault();
  rememberToken(byId<HTMLInputElement>("access-token").value.trim());
  void poll();
});
document.addEventListener("visibilitychange", () => void poll());
void poll();
