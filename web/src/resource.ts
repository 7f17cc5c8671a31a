// The HTTP half that WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) share: an SDP offer is POSTed,
// the answer comes back with the Location of a session resource, and DELETE ends it.

import { Problem, problemOf, unreachable } from "./problem";

export interface Answer {
  sdp: string;
  session: Session;
}

/** A WHIP or WHEP session on the server. */
export class Session {
  constructor(
    readonly url: string,
    /** By `rel`. */
    readonly links: ReadonlyMap<string, string>,
    private readonly token: string | null,
  ) {}

  /** Ends the session. Survives the page: `keepalive` lets the request outlive it. */
  async end(): Promise<void> {
    await fetch(this.url, { method: "DELETE", headers: authorization(this.token), keepalive: true }).catch(
      () => undefined, // The server notices by consent expiry.
    );
  }

  /** POSTs JSON to an extension that the server announced. */
  async extend(rel: string, body: unknown): Promise<void> {
    const url = this.links.get(rel);
    if (url === undefined) throw new Problem("Not supported", `The server does not announce ${rel}.`);
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization(this.token) },
      body: JSON.stringify(body),
    }).catch(() => {
      throw unreachable();
    });
    if (!response.ok) throw await problemOf(response);
  }
}

/** POSTs an offer. Throws a `Problem`. */
export async function offer(
  endpoint: string,
  sdp: string,
  token: string | null,
  signal: AbortSignal,
): Promise<Answer> {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", ...authorization(token) },
    body: sdp,
    signal,
  }).catch((error: unknown) => {
    throw signal.aborted ? error : unreachable();
  });
  if (response.status !== 201) throw await problemOf(response);
  const location = response.headers.get("Location");
  if (location === null) {
    throw new Problem("Not a WHIP or WHEP server", "The answer names no session (Location).", response.status);
  }
  const base = response.url || endpoint;
  const links = parseLinks(response.headers.get("Link") ?? "", base);
  const session = new Session(new URL(location, base).href, links, token);
  return { sdp: await response.text(), session };
}

export function authorization(token: string | null): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const TOKEN = "[\\w!#$&+.^`|~-]+";
const PARAMETER = new RegExp(`;\\s*(${TOKEN})\\s*(?:=\\s*(?:"([^"]*)"|([^\\s";,]+)))?`, "g");
// Quoted parameters may hold commas and semicolons, so that splitting by "," would not do.
const LINK = new RegExp(`<([^>]*)>((?:\\s*${PARAMETER.source})*)`, "g");

/** `Link` (RFC 8288) as rel → absolute URL. The first of each rel counts. */
export function parseLinks(header: string, base: string): Map<string, string> {
  const links = new Map<string, string>();
  for (const [, target = "", parameters = ""] of header.matchAll(LINK)) {
    const rel = [...parameters.matchAll(PARAMETER)].find(([, key]) => key?.toLowerCase() === "rel");
    let url: string;
    try {
      url = new URL(target, base).href;
    } catch {
      continue;
    }
    for (const name of (rel?.[2] ?? rel?.[3] ?? "").split(/\s+/)) {
      if (name && !links.has(name)) links.set(name, url);
    }
  }
  return links;
}
