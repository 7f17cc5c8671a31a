import { afterEach, expect, test, vi } from "vitest";
import { NO_COMMON_CODEC, Problem, problemOf, toProblem } from "../src/problem";
import { iceServers, offer, parseLinks } from "../src/resource";

afterEach(() => vi.unstubAllGlobals());

const ENDPOINT = "http://weir.test/whep/demo";
const signal = () => new AbortController().signal;

/** What `fetch` was called with, and what it answers. */
function stub(...answers: (Response | Error)[]) {
  const calls: [string, RequestInit][] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push([url, init]);
    const answer = answers.shift();
    if (!answer || answer instanceof Error) throw answer ?? new Error("one request too many");
    return answer;
  });
  return calls;
}

const created = (headers: Record<string, string>) => new Response("v=0 answer", { status: 201, headers });

test("an offer is posted with its token, and the session is where Location says", async () => {
  const calls = stub(
    created({ Location: "/whep/demo/s1", Link: '</whep/demo/s1/layer>; rel="urn:x:layer"' }),
    new Response(null, { status: 200 }),
  );
  const { sdp, session } = await offer(ENDPOINT, "v=0 offer", "secret", signal());
  expect(sdp).toBe("v=0 answer");
  expect(session.url).toBe("http://weir.test/whep/demo/s1");
  expect(session.links.get("urn:x:layer")?.url).toBe("http://weir.test/whep/demo/s1/layer");
  expect(calls[0]?.[1]).toMatchObject({
    method: "POST",
    body: "v=0 offer",
    headers: { "Content-Type": "application/sdp", Authorization: "Bearer secret" },
  });

  await session.end();
  expect(calls[1]?.[0]).toBe("http://weir.test/whep/demo/s1");
  expect(calls[1]?.[1]).toMatchObject({ method: "DELETE", keepalive: true, headers: { Authorization: "Bearer secret" } });
});

test("an absolute Location on another node is taken as it is; no token, no header", async () => {
  const calls = stub(created({ Location: "https://edge.test:8443/whep/demo/s2" }));
  const { session } = await offer(ENDPOINT, "v=0", null, signal());
  expect(session.url).toBe("https://edge.test:8443/whep/demo/s2");
  expect(calls[0]?.[1].headers).not.toHaveProperty("Authorization");
});

test("the layer extension posts JSON to its link", async () => {
  const calls = stub(created({ Location: "/s", Link: '</s/layer>; rel="urn:x:layer"' }), new Response(null, { status: 200 }));
  const { session } = await offer(ENDPOINT, "v=0", null, signal());
  await session.post("urn:x:layer", { mediaId: "0", encodingId: "h" });
  expect(calls[1]?.[0]).toBe("http://weir.test/s/layer");
  expect(JSON.parse(String(calls[1]?.[1].body))).toEqual({ mediaId: "0", encodingId: "h" });
  await expect(session.post("urn:x:other", {})).rejects.toBeInstanceOf(Problem);
});

test("a problem body becomes its words", async () => {
  const body = { type: NO_COMMON_CODEC, title: "No common codec", status: 422, detail: "offer VP8" };
  stub(new Response(JSON.stringify(body), { status: 422, headers: { "Content-Type": "application/problem+json" } }));
  await expect(offer(ENDPOINT, "v=0", null, signal())).rejects.toMatchObject({
    title: "No common codec", detail: "Offer VP8.", status: 422, type: NO_COMMON_CODEC, temporary: false,
  });
});

test("a 200 or a missing Location is no WHEP", async () => {
  stub(new Response("<html>", { status: 200 }));
  await expect(offer(ENDPOINT, "v=0", null, signal())).rejects.toMatchObject({ status: 200 });
  stub(created({}));
  await expect(offer(ENDPOINT, "v=0", null, signal())).rejects.toMatchObject({ title: "Not a WHIP or WHEP server" });
});

test("no answer at all is temporary", async () => {
  stub(new TypeError("Failed to fetch"));
  await expect(offer(ENDPOINT, "v=0", null, signal())).rejects.toMatchObject({ status: 0, temporary: true });
});

test("which problems may pass by themselves", async () => {
  const of = (status: number, headers = {}) => problemOf(new Response("not json", { status, headers }));
  expect((await of(503, { "Retry-After": "7" })).retryAfterMs).toBe(7000);
  expect((await of(503, { "Retry-After": "soon" })).retryAfterMs).toBe(0);
  expect((await of(503, { "Retry-After": "999999" })).retryAfterMs).toBe(300_000);
  for (const status of [408, 429, 500, 503]) expect((await of(status)).temporary, String(status)).toBe(true);
  for (const status of [400, 401, 403, 404, 406, 409, 415]) expect((await of(status)).temporary, String(status)).toBe(false);
  expect((await of(401)).denied && (await of(403)).denied).toBe(true);
  expect(toProblem(new TypeError("x")).title).toBe("TypeError");
});

test("Link headers, several in one", () => {
  const links = parseLinks(
    '<stun:stun.test:3478>; rel="ice-server", </a;b,c>; title="x, <y>; rel=no"; rel="one two", <rel/three>;rel=three, <>; rel=base, <z>',
    "http://weir.test/whep/demo",
  );
  const urls = [...links].map(([rel, link]) => [rel, link.url]);
  expect(links.get("one")?.parameters.get("title")).toBe("x, <y>; rel=no");
  expect(Object.fromEntries(urls)).toEqual({
    "ice-server": "stun:stun.test:3478",
    one: "http://weir.test/a;b,c",
    two: "http://weir.test/a;b,c",
    three: "http://weir.test/whep/rel/three",
    base: "http://weir.test/whep/demo",
  });
});

test("every STUN and TURN server of a Link header, with its credentials", () => {
  const header =
    '<stun:s.test>; rel="ice-server", <http://weir.test/layer>; rel="urn:x:layer", ' +
    '<turn:t.test:3478?transport=udp>; rel="ice-server"; username="1700003600:0000beef"; credential="a+/=b"; credential-type="password", ' +
    '<turns:t.test:443>; rel="ice-server"; username="u"; credential="c", <http://t.test>; rel="ice-server", <turn:half.test>; rel=ice-server; username=u';
  expect(iceServers(header)).toEqual([
    { urls: "stun:s.test" },
    { urls: "turn:t.test:3478?transport=udp", username: "1700003600:0000beef", credential: "a+/=b" },
    { urls: "turns:t.test:443", username: "u", credential: "c" },
  ]);
  expect(iceServers("")).toEqual([]);
});
