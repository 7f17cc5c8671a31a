// /admin: every stream as a tile; #/demo one stream with its charts and viewers, #/demo/1a2b3c4d one
// session of it. Polled while somebody looks. The API below needs access: a token is asked for.

import { getHistory, getServer, getSession, getStreams, getViewers, kickPublisher, kickSession, type Server, type Stream } from "../api";
import * as format from "../format";
import { toProblem, type Problem } from "../problem";
import { currentToken, rememberToken } from "../token";
import { confirmed } from "../ui/admin/confirm";
import { Detail, summary } from "../ui/admin/detail";
import { Drawer } from "../ui/admin/drawer";
import { Tiles } from "../ui/admin/tiles";
import { byId, setText } from "../ui/dom";
import { totalBitrate } from "../ui/stream-card";
import { themeButton } from "../ui/theme";
import { hashOf, placeOf } from "../viewer-rows";

const POLL_MS = 2000;
/** What the server did not have is asked for again after that time. */
const AGAIN_MS = 10_000;

class AdminPage {
  private readonly tiles = new Tiles(byId("tiles"));
  private readonly detail = new Detail({
    kickPublisher: (stream) => void this.endPublisher(stream),
    kickViewer: ({ session }) => void this.endSession(session),
  });
  private readonly drawer = new Drawer({
    closed: () => this.leaveSession(),
    kick: (session) => void this.endSession(session),
  });
  private server: Server | null = null;
  /** What the server did not have, and when it said so. */
  private readonly missing = new Map<string, number>();
  /** The stream that `#detail` shows. */
  private detailed: string | null = null;
  /** Somebody has come to a stream from elsewhere on this page: its heading gets the focus. */
  private arriving = false;
  private timer = 0;
  /** Of the newest poll: what an older one brings is not shown. */
  private turn = 0;

  constructor() {
    window.addEventListener("hashchange", () => {
      this.arriving = placeOf(location.hash).stream !== this.detailed;
      this.place();
      void this.poll();
    });
    document.addEventListener("visibilitychange", () => void this.poll());
    document.querySelector(".skip")?.addEventListener("click", (event) => {
      // The address after # says which stream is shown.
      event.preventDefault();
      byId("main").focus();
    });
    byId("access-form").addEventListener("submit", (event) => {
      event.preventDefault();
      rememberToken(byId<HTMLInputElement>("access-token").value.trim());
      void this.poll();
    });
    this.place();
    void this.poll();
  }

  /** Shows the part of the page that the address names. */
  private place(): void {
    const { stream, session } = placeOf(location.hash);
    byId("overview").hidden = stream !== null;
    // Another stream's numbers, and its button to disconnect, are not this one's.
    if (stream !== this.detailed) this.detailed = null;
    byId("detail").hidden = this.detailed === null;
    document.title = stream === null ? "Admin · Weir" : `${stream} · Admin · Weir`;
    this.say(null);
    this.missing.clear();
    if (session === null) this.drawer.hide();
  }

  private async poll(): Promise<void> {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    if (document.hidden) return;
    const token = currentToken();
    try {
      const place = placeOf(location.hash);
      const [server, streams] = await Promise.all([getServer(token).catch(() => null), getStreams(token)]);
      const stream = streams.find(({ name }) => name === place.stream) ?? null;
      const [history, viewers, session] = await Promise.all([
        stream ? this.once("history", () => getHistory(stream.name, token)) : null,
        stream ? getViewers(stream.name, token) : [],
        place.session === null ? null : this.once(place.session, () => sessionOf(place.session, token)),
      ]);
      if (turn !== this.turn) return;
      this.server = server ?? this.server;
      this.showAccess(null);
      this.showStreams(streams);
      if (place.stream !== null) {
        this.detail.show(place.stream, stream, history, viewers, this.watchAt(place.stream));
        this.showDetail(place.stream);
      }
      if (place.session !== null) this.drawer.show(place.session, ...(session ?? [null, null, null]));
    } catch (error) {
      if (turn !== this.turn) return;
      this.showAccess(toProblem(error));
    }
    this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
  }

  private showDetail(stream: string): void {
    this.detailed = stream;
    byId("detail").hidden = false;
    if (this.arriving) byId("detail-name").focus({ preventScroll: true });
    this.arriving = false;
  }

  /** What the server has said that it does not have is not asked for at every turn. */
  private async once<T>(what: string, ask: () => Promise<T | null>): Promise<T | null> {
    const since = this.missing.get(what);
    if (since !== undefined && performance.now() - since < AGAIN_MS) return null;
    const answer = await ask();
    if (answer === null) this.missing.set(what, performance.now());
    return answer;
  }

  private showStreams(streams: Stream[]): void {
    const bits = streams.reduce((sum, stream) => sum + totalBitrate(stream), 0);
    setText(byId("summary"), summary(streams, bits));
    this.tiles.show(streams);
    byId("none").hidden = streams.length > 0;
    const uptime = this.server?.uptime_seconds;
    const words = this.server ? [`weir ${this.server.version}`, typeof uptime === "number" ? `up ${format.duration(uptime)}` : ""] : [];
    setText(byId("version"), words.filter(Boolean).join(" · "));
  }

  private showAccess(problem: Problem | null): void {
    const denied = problem?.denied === true;
    byId("access").hidden = !denied;
    byId("admin").hidden = denied;
    // The form to type a token into would lie behind it.
    if (denied) this.drawer.hide();
    const chip = byId("server");
    chip.dataset["state"] = problem && !denied ? "down" : "ok";
    setText(chip, problem && !denied ? `${problem.title}, trying again` : denied ? "" : "connected");
    if (denied) {
      setText(
        byId("access-why"),
        currentToken() !== null
          ? "The token given was not accepted. weir prints it when it starts, and keeps it in its data folder."
          : "Only the server's own machine may look without one. weir prints the token when it starts.",
      );
    }
  }

  /** With a listener of its own for this page, the public pages are on another port. */
  private watchAt(stream: string): string {
    const path = `/watch/${encodeURIComponent(stream)}`;
    const listener = (key: string) => this.server?.listeners?.find((one) => one.key === key)?.address;
    const port = /:(\d+)$/.exec(listener("http.listen") ?? "")?.[1];
    if (listener("admin.listen") === undefined || port === undefined) return path;
    return `${location.protocol}//${location.hostname}:${port}${path}`;
  }

  private leaveSession(): void {
    const { stream, session } = placeOf(location.hash);
    if (stream !== null && session !== null) location.hash = hashOf(stream);
  }

  private async endPublisher({ name, viewers }: Stream): Promise<void> {
    const watching = Object.values(viewers).reduce((sum, count) => sum + count, 0);
    const consequence = `${format.count(watching, "viewer")} will see no picture until somebody publishes again. A program that reconnects by itself will be back in a moment.`;
    if (!(await confirmed(`Disconnect the publisher of ${name}?`, consequence, "Disconnect"))) return;
    await this.act(() => kickPublisher(name, currentToken()));
  }

  private async endSession(session: string): Promise<void> {
    const consequence = "The session ends now. A player that reconnects by itself will be back in a moment.";
    if (!(await confirmed(`Disconnect ${session}?`, consequence, "Disconnect"))) return;
    await this.act(() => kickSession(session, currentToken()));
  }

  private async act(order: () => Promise<void>): Promise<void> {
    this.say(null);
    try {
      await order();
    } catch (error) {
      this.say(toProblem(error));
    }
    await this.poll();
  }

  private say(problem: Problem | null): void {
    const title = problem?.title ?? "";
    const detail = problem?.status === 404 ? "It is gone already, or this server cannot do that yet." : (problem?.detail ?? "");
    byId("problem").hidden = problem === null;
    setText(byId("problem-title"), title);
    setText(byId("problem-detail"), detail);
    this.drawer.say([title, detail].filter(Boolean).join(". "));
  }
}

/** `null` for a session that the server knows nothing of. */
async function sessionOf(id: string | null, token: string | null): Promise<Awaited<ReturnType<typeof getSession>> | null> {
  const all = id === null ? null : await getSession(id, token);
  return all?.some((part) => part !== null) ? all : null;
}

themeButton();
new AdminPage();
