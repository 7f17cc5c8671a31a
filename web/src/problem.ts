// What went wrong, in words for a person: RFC 9457 problem bodies of the server, and the failures
// that never reach it.

export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    /** A few words. */
    readonly title: string,
    /** What it means and what to do. */
    readonly detail: string,
    /** Of the HTTP answer; 0 if there was none. */
    readonly status = 0,
    /** What the server asked for by Retry-After. */
    readonly retryAfterMs = 0,
    /** Which problem it is, for programs: `urn:weir:problem:…`. */
    readonly type = "",
    /** Other ways to the same stream that the server named. */
    readonly alternatives: readonly unknown[] = [],
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  /** True if the same request may work later without anybody changing it. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** True if a token is missing or wrong. */
  get denied(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

/** The stream is in a codec that this viewer did not offer. */
export const NO_COMMON_CODEC = "urn:weir:problem:no-common-codec";

/** The server is there, but no media gets to it and back: found here, not by the server. */
export const NO_MEDIA_PATH = "urn:weir:problem:no-media-path";

/** The problem that an unsuccessful answer tells of. */
export async function problemOf(response: Response): Promise<Problem> {
  const body = await response.json().catch(() => null);
  const text = (key: string) => {
    const value: unknown = body?.[key];
    return typeof value === "string" ? value : "";
  };
  const title = text("title") || response.statusText || `HTTP ${response.status}`;
  const retryAfter = Number(response.headers.get("Retry-After"));
  return new Problem(
    title,
    sentence(text("detail")) || hint(response.status),
    response.status,
    Number.isFinite(retryAfter) ? Math.min(retryAfter, 300) * 1000 : 0,
    text("type"),
    Array.isArray(body?.alternatives) ? body.alternatives : [],
  );
}

/** A detail as a sentence to show. */
function sentence(text: string): string {
  if (!text) return "";
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(upper) ? upper : `${upper}.`;
}

/** What to say of an error of any kind. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Error) return new Problem(error.name === "Error" ? "Error" : error.name, error.message);
  return new Problem("Error", String(error));
}

/** For servers, or proxies before them, that explain nothing. */
function hint(status: number): string {
  switch (status) {
    case 401:
      return "This needs a token.";
    case 403:
      return "The token was not accepted.";
    case 404:
      return "The server has nothing at this address.";
    case 413:
      return "The request was too large.";
    case 429:
      return "Too many requests from this address. Trying again in a moment.";
    case 502:
    case 503:
    case 504:
      return "The server is overloaded, stopping or not there.";
    default:
      return "";
  }
}

/** A request that got no answer. */
export function unreachable(): Problem {
  return new Problem("Server not reachable", "No answer over HTTP. The server is down, or the network is.");
}
