// The little SDP that a page must read or write itself: Opus stereo in `a=fmtp` (RFC 7587 section 7),
// the server's addresses in `a=candidate` (RFC 8839), and the fragments of an ICE restart (RFC 8840). Pure text
// in, text out.

/** Sets Opus format parameters on every `opus` payload type, keeping those that are there. */
export function withOpusParameters(sdp: string, parameters: Record<string, string>): string {
  const lines = sdp.split("\r\n");
  for (const line of [...lines]) {
    const payloadType = /^a=rtpmap:(\d+) opus\//i.exec(line)?.[1];
    if (payloadType === undefined) continue;
    const prefix = `a=fmtp:${payloadType} `;
    const at = lines.findIndex((candidate) => candidate.startsWith(prefix));
    const existing = at < 0 ? "" : (lines[at] as string).slice(prefix.length);
    const merged = prefix + mergeParameters(existing, parameters);
    if (at < 0) lines.splice(lines.indexOf(line) + 1, 0, merged);
    else lines[at] = merged;
  }
  return lines.join("\r\n");
}

function mergeParameters(existing: string, added: Record<string, string>): string {
  const all = new Map<string, string>();
  for (const part of existing.split(";")) {
    const [key, value] = part.trim().split("=", 2);
    if (key) all.set(key, value ?? "");
  }
  for (const [key, value] of Object.entries(added)) all.set(key, value);
  return [...all].map(([key, value]) => (value === "" ? key : `${key}=${value}`)).join(";");
}

/** An address that the server can be reached at. */
export interface Candidate {
  protocol: string;
  address: string;
  port: number;
}

/** The distinct candidates of a description, in their order. */
export function candidates(sdp: string): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const line of sdp.split(/\r?\n/)) {
    const match = /^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) typ /i.exec(line);
    if (!match) continue;
    const [, protocol, address, port] = match as unknown as [string, string, string, string];
    const candidate = { protocol: protocol.toLowerCase(), address, port: Number(port) };
    found.set(`${candidate.protocol} ${address} ${port}`, candidate);
  }
  return [...found.values()];
}

/** What a person can check when no candidate answers: "UDP port 8080 of 192.0.2.7". */
export function describeCandidates(sdp: string): string {
  const byPort = new Map<string, string[]>();
  for (const { protocol, address, port } of candidates(sdp)) {
    const key = `${protocol.toUpperCase()} port ${port}`;
    byPort.set(key, [...(byPort.get(key) ?? []), address]);
  }
  if (byPort.size === 0) return "the server named no address";
  return [...byPort].map(([port, hosts]) => `${port} of ${hosts.join(", ")}`).join("; ");
}

/** The video codecs of a description, in lower case, without repair formats: `["vp8", "h264"]`. */
export function videoCodecs(sdp: string): string[] {
  const video = /^m=video .*?(?=^m=|$(?![^]))/ms.exec(sdp)?.[0] ?? "";
  const all = [...video.matchAll(/^a=rtpmap:\d+ ([\w-]+)\//gm)].map((match) => (match[1] as string).toLowerCase());
  return [...new Set(all)].filter((name) => !["rtx", "red", "ulpfec", "flexfec-03"].includes(name));
}

/** The media kinds of a description that are not refused (port 0). */
export function acceptedKinds(sdp: string): string[] {
  return [...sdp.matchAll(/^m=(\w+) (\d+) /gm)].filter((m) => m[2] !== "0").map((m) => m[1] as string);
}

/** What of an offer restarts ICE: its group, and its first m-line with its credentials (RFC 9725 section 4.3.3). */
export function iceFragment(offer: string): string {
  const lines = offer.split(/\r?\n/);
  const first = lines.findIndex((line) => line.startsWith("m="));
  const next = lines.findIndex((line, at) => at > first && line.startsWith("m="));
  const section = lines.slice(first, next < 0 ? undefined : next);
  // The credentials may stand above the m-lines.
  const find = (name: string) => [...section, ...lines.slice(0, first)].filter((line) => line.startsWith(`a=${name}`)).slice(0, 1);
  const kept = [...find("group:BUNDLE"), section[0] ?? "", ...find("mid:"), ...find("ice-ufrag:"), ...find("ice-pwd:")];
  return kept.join("\r\n") + "\r\n";
}

/** The answer again, with the credentials and candidates of the fragment that answers a restart. */
export function withIce(answer: string, fragment: string): string {
  const fresh = fragment.split(/\r?\n/);
  const named = (name: string) => fresh.filter((line) => line.startsWith(`a=${name}`));
  const [ufrag, pwd, candidates] = [named("ice-ufrag:"), named("ice-pwd:"), named("candidate:")];
  const out: string[] = [];
  let listed = true;
  for (const line of answer.split("\r\n")) {
    if (line.startsWith("m=")) listed = false;
    if (line.startsWith("a=ice-ufrag:")) out.push(...ufrag);
    else if (line.startsWith("a=ice-pwd:")) out.push(...pwd);
    else if (line.startsWith("a=candidate:")) {
      if (!listed) out.push(...candidates);
      listed = true;
    } else out.push(line.replace(/^(o=\S+ \S+ )(\d+) /, (_, before: string, version: string) => `${before}${Number(version) + 1} `));
  }
  return out.join("\r\n");
}
