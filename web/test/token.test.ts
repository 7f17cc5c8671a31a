import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** A page at `href` with the storage of its tab; `null`: it may have none. */
async function page(href: string, storage: Map<string, string> | null, framed = false) {
  vi.resetModules();
  const location = { href };
  vi.stubGlobal("location", location);
  const window = { parent: {} };
  if (!framed) window.parent = window;
  vi.stubGlobal("window", window);
  vi.stubGlobal("history", { state: null, replaceState: (_state: unknown, _title: string, to: URL) => (location.href = to.href) });
  const refused = () => {
    throw new Error("SecurityError");
  };
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => (storage ? (storage.get(key) ?? null) : refused()),
    setItem: (key: string, value: string) => (storage ? storage.set(key, value) : refused()),
    removeItem: (key: string) => (storage ? storage.delete(key) : refused()),
  });
  return { location, ...(await import("../src/token")) };
}

let storage: Map<string, string>;
beforeEach(() => (storage = new Map()));
afterEach(() => vi.unstubAllGlobals());

test("a token in the address counts once, then goes from there", async () => {
  const first = await page("http://weir.test/watch/x?muted=0&token=wrong#here", storage);
  expect(first.currentToken()).toBe("wrong");
  expect(first.location.href).toBe("http://weir.test/watch/x?muted=0#here");
  first.rememberToken("typed");
  expect(first.currentToken()).toBe("typed");
  const next = await page("http://weir.test/admin", storage);
  expect(next.currentToken()).toBe("typed");
  next.rememberToken("");
  expect(next.currentToken()).toBeNull();
});

test("in a frame it stays in the address, and counts once all the same", async () => {
  const { currentToken, rememberToken, location } = await page("http://weir.test/embed/x?token=a", storage, true);
  expect(currentToken()).toBe("a");
  expect(location.href).toBe("http://weir.test/embed/x?token=a");
  rememberToken("b");
  expect(currentToken()).toBe("b");
});

test("without storage it stays in the address, and a typed one still replaces it", async () => {
  const { currentToken, rememberToken, location } = await page("http://weir.test/embed/x?token=a", null);
  expect(currentToken()).toBe("a");
  expect(location.href).toBe("http://weir.test/embed/x?token=a");
  rememberToken("b");
  expect(currentToken()).toBe("b");
});
