// The little SDP that a page must read or write itself: Opus stereo in `a=fmtp` (RFC 7587 section 7)
// and the server's addresses in `a=candidate` (RFC 8839). Pure text in, text out.

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
