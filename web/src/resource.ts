// The HTTP half that WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) share: an SDP offer is POSTed,
// the answer comes back with the Location of a session resource, PATCH restarts its ICE, and DELETE ends it.

import { Problem, problemOf, unreachable } from "./problem";

/** One entry of a `Link` header. */
export interface Link {
  /** Absolute. */
  url: string;
  parameters: ReadonlyMap<string, string>;
}

export interface Answer {
  sdp: string;
  session: Session;
}

/** Of the bodies of PATCH (RFC 8840). */
const FRAGMENT = "application/trickle-ice-sdpfrag";

/** A WHIP or WHEP session on the server. */
export class Session {
  /** STUN and TURN servers that the server names for this session. */
  iceServers: RTCIceServer[] = [];

  constructor(
    readonly url: string,
    /** By `rel`. */
    readonly links: ReadonlyMap<string, Link>,
    readonly token: string | null,
    /** Of its newest ICE; `null`: the server knows no restarts (RFC 9725 section 4.3.1). */
    public etag: string | null = null,
  ) {}

  /** Ends the session. Survives the page: `keepalive` lets the request outlive it. */
  async end(): Promise<void> {
    await fetch(this.url, { method: "DELETE", headers: authorization(this.token), keepalive: true }).catch(
      () => undefined, // The server notices by consent expiry.
    );
  }

  /** Restarts ICE with the fragment of an offer; the fragment that answers it. Throws a `Problem`. */
  async restart(fragment: string, signal: AbortSignal): Promise<string> {
    const response = await fetch(this.url, {
      method: "PATCH",
      // Whatever the tag: a restart is due also where the answer to the one before was lost.
      headers: { "Content-Type": FRAGMENT, "If-Match": "*", ...authorization(this.token) },
      body: fragment,
      signal,
    }).catch(() => {
      throw unreachable();
    });
    if (!response.ok) throw await problemOf(response);
    const answer = await response.text();
    if (response.status !== 200) throw new Problem("No ICE restart", "The server took it for something else.", 422);
    this.etag = response.headers.get("ETag");
    return answer;
  }

  /** POSTs JSON to an extension that the server announced. */
  async post(rel: string, body: unknown, signal?: AbortSignal): Promise<Response> {
    const link = this.links.get(rel);
    if (!link) throw new Problem("Not supported", `The server does not announce ${rel}.`);
    const response = await fetch(link.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization(this.token) },
      body: JSON.stringify(body),
      signal: signal ?? null,
    }).catch(() => {
      throw unreachable();
    });
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

/** Makes the servers that a session names known to its connection, for its next gathering of candidates. */
export function useIceServers(pc: RTCPeerConnection, { iceServers }: Session): void {
  if (iceServers.length > 0) pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
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
  const header = response.headers.get("Link") ?? "";
  const links = parseLinks(header, base);
  const session = new Session(new URL(location, base).href, links, token, response.headers.get("ETag"));
  session.iceServers = iceServers(header);
  return { sdp: await response.text(), session };
}

export function authorization(token: string | null): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const TOKEN = "[\\w!#$&+.^`|~-]+";
const PARAMETER = new RegExp(`;\\s*(${TOKEN})\\s*(?:=\\s*(?:"([^"]*)"|([^\\s";,]+)))?`, "g");
// Quoted parameters may hold commas and semicolons, so that splitting by "," would not do.
const LINK = new RegExp(`<([^>]*)>((?:\\s*${PARAMETER.source})*)`, "g");

/** `Link` (RFC 8288) by rel. The first of each rel counts. */
export function parseLinks(header: string, base: string): Map<string, Link> {
  const links = new Map<string, Link>();
  for (const { target, parameters } of everyLink(header)) {
    let url: string;
    try {
      url = new URL(target, base).href;
    } catch {
      continue;
    }
    for (const name of relations(parameters)) if (!links.has(name)) links.set(name, { url, parameters });
  }
  return links;
}

/** The STUN and TURN servers of a `Link` header (RFC 9725 section 4.6). */
export function iceServers(header: string): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const { target: urls, parameters } of everyLink(header)) {
    if (!relations(parameters).includes("ice-server")) continue;
    const [username, credential] = [parameters.get("username"), parameters.get("credential")];
    // A browser throws at a TURN server without them.
    if (/^turns?:./.test(urls) && username && credential) servers.push({ urls, username, credential });
    if (/^stuns?:./.test(urls)) servers.push({ urls });
  }
  return servers;
}

function* everyLink(header: string): Generator<{ target: string; parameters: Map<string, string> }> {
  for (const [, target = "", text = ""] of header.matchAll(LINK)) {
    const parameters = new Map<string, string>();
    for (const [, key = "", quoted, plain] of text.matchAll(PARAMETER)) {
      if (!parameters.has(key.toLowerCase())) parameters.set(key.toLowerCase(), quoted ?? plain ?? "");
    }
    yield { target, parameters };
  }
}

function relations(parameters: ReadonlyMap<string, string>): string[] {
  return (parameters.get("rel") ?? "").split(/\s+/).filter((name) => name !== "");
}
