// The server that a classic script tag has loaded us from; a module is asked for its page's.

/** An origin. */
export const HOME = new URL(
  (globalThis.document?.currentScript as HTMLScriptElement | null)?.src || globalThis.location?.href || "http://localhost",
).origin;
