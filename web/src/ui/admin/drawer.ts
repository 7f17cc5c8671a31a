// One session, at the side: how it is, what is wrong and what to do, the last decisions and why.

import { videoEncodings, type Health, type Logs, type SessionStatus } from "../../api";
import * as format from "../../format";
import { el, setText } from "../dom";

type Fact = [label: string, value: string];

export class Drawer {
  private readonly title = el("h2", { id: "drawer-title" });
  private readonly state = el("span", { class: "pill" });
  private readonly facts = el("dl", { class: "facts" });
  /** The page's own lies behind this dialog, unseen and unsaid. */
  private readonly problem = el("p", { class: "notice error", role: "alert", hidden: "" });
  private readonly health = el("div", { class: "health" });
  private readonly log = el("ol", { class: "log" });
  private readonly logTitle = el("h3", {}, "What happened, newest first");
  private readonly kick = el("button", { type: "button", class: "button small stop" }, "Disconnect");
  private readonly close = el("button", { type: "button", class: "button small" }, "Close");
  private readonly root = el(
    "dialog",
    { class: "drawer", "aria-labelledby": "drawer-title" },
    el("header", { class: "drawer-head" }, this.title, this.state, el("span", { class: "drawer-end" }, this.kick, this.close)),
    this.problem,
    this.health,
    this.facts,
    this.logTitle,
    this.log,
  );
  private shown = { facts: "", log: "" };
  private session = "";
  /** It is being closed by the page, and nobody has left the session. */
  private quiet = false;

  constructor(actions: { closed(): void; kick(session: string): void }) {
    document.body.append(this.root);
    this.close.addEventListener("click", () => this.root.close());
    this.root.addEventListener("close", () => {
      if (!this.quiet) actions.closed();
      this.quiet = false;
    });
    this.kick.addEventListener("click", () => actions.kick(this.session));
    // A click beside it closes it: that is on the dialog itself, not on what is in it.
    this.root.addEventListener("click", (event) => {
      if (event.target === this.root && event.clientX < this.root.getBoundingClientRect().left) this.root.close();
    });
  }

  hide(): void {
    if (this.root.open) {
      this.quiet = true;
      this.root.close();
    }
    this.shown = { facts: "", log: "" };
  }

  /** What went wrong with an order; empty: nothing. */
  say(problem: string): void {
    this.problem.hidden = problem === "";
    setText(this.problem, problem);
  }

  show(session: string, status: SessionStatus | null, health: Health | null, logs: Logs | null): void {
    this.session = session;
    if (!this.root.open) this.root.showModal();
    this.showStatus(session, status, health);
    this.showLog(session, logs);
  }

  private showStatus(session: string, status: SessionStatus | null, health: Health | null): void {
    const key = JSON.stringify([session, status, health]);
    if (key === this.shown.facts) return;
    this.shown.facts = key;
    const what = status ? (status.role === "publisher" ? "Publisher" : "Viewer") : "Session";
    this.title.replaceChildren(`${what} `, el("code", {}, session));
    setText(this.state, status?.state ?? "not known");
    this.state.dataset["state"] = status?.state === "playing" ? "live" : (status?.state ?? "ended");
    this.kick.hidden = status === null || ["ended", "closed", "gone"].includes(status.state);
    const all = status ? sessionFacts(status, Date.now()) : [];
    this.facts.replaceChildren(...all.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
    this.showHealth(health, status);
  }

  /** By itself: somebody reads it, or marks a part, while the numbers change. */
  private showLog(session: string, logs: Logs | null): void {
    const key = JSON.stringify([session, logs]);
    if (key === this.shown.log) return;
    this.shown.log = key;
    this.logTitle.hidden = logs === null;
    const entries = [...(logs?.entries ?? [])].reverse();
    this.log.replaceChildren(...entries.map(({ at, text }) => el("li", {}, el("time", { datetime: at }, clockTime(at)), el("span", {}, text))));
  }

  private showHealth(health: Health | null, status: SessionStatus | null): void {
    if (!health) {
      this.health.className = "health";
      this.health.replaceChildren(
        el("p", {}, status ? "This server does not judge sessions yet." : "The server knows nothing of this session: it ended a while ago, or the server does not keep sessions."),
      );
      return;
    }
    this.health.className = `health ${health.ok ? "ok" : "bad"}`;
    const words = health.problems.map(({ text }) => el("p", {}, text));
    this.health.replaceChildren(...(words.length > 0 ? words : [el("p", {}, "Nothing is wrong.")]));
  }
}

/** What is known, by its label; what is not, is not said. */
export function sessionFacts(status: SessionStatus, now: number): Fact[] {
  const all: Fact[] = [];
  const add = (label: string, value: string | null | undefined) => {
    if (value) all.push([label, value]);
  };
  const number = (key: string, say: (value: number) => string) => {
    const value = status[key];
    return typeof value === "number" && Number.isFinite(value) ? say(value) : null;
  };
  const text = (key: string) => (typeof status[key] === "string" ? (status[key] as string) : null);
  const seconds = (Date.parse(status.ended ?? "") || now) / 1000 - Date.parse(status.since) / 1000;
  add("Stream", status.stream);
  add("Protocol", status.protocol?.toUpperCase());
  add(status.ended ? "Lasted" : "Since", Number.isFinite(seconds) ? format.duration(seconds) : null);
  add("Ended", status.ended_because);
  add("Address", status.address);
  add("Program", status.user_agent);
  add("Path", [status.transport?.remote, status.transport?.local].filter(Boolean).join(" → "));
  add("Encryption", status.transport?.srtp);
  add("Layer", text("layer"));
  add("Layer asked for", text("wanted_layer"));
  add("Bitrate", number("bitrate_bps", format.bitrate));
  add("Loss", number("loss", format.percent));
  add("Round trip", number("rtt_ms", format.ms));
  add("Estimate", number("estimate_bps", format.bitrate));
  add("Packets", number("packets", String));
  add("Problem", text("problem"));
  for (const { id, width, height, fps, bitrate_bps, lost } of videoEncodings({ tracks: status.tracks ?? [] })) {
    const words = [format.size(width, height), format.fps(fps), format.bitrate(bitrate_bps), `${lost} lost`];
    add(`Encoding ${id}`, words.filter(Boolean).join(", "));
  }
  return all;
}

/** `12:34:56.789` of this browser's zone. */
function clockTime(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
