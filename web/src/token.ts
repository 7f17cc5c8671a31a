// The access token of this visit: from `?token=`, else what was typed into a page of this tab.
// sessionStorage only: it goes when the tab goes.

const KEY = "weir.token";

/** Where there is no storage. */
let held: string | null = null;
/** The address counts once: what is typed later replaces it. */
let addressRead = false;

/** The token to send, or `null`. One in the address is remembered for this tab's other pages. */
export function currentToken(): string | null {
  if (!addressRead) takeFromAddress();
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return held;
  }
}

/** Keeps `token` for this tab; an empty one forgets it. False if only this page can keep it. */
export function rememberToken(token: string): boolean {
  addressRead = true;
  held = token || null;
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
    return true;
  } catch {
    // A sandboxed iframe has no storage.
    return false;
  }
}

/** A token does not stay in the address: it would be copied, shown and kept in the history with it. */
function takeFromAddress(): void {
  addressRead = true;
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  // Without storage it stays, so that loading the page again works. In a frame nobody sees it, and
  // its neighbours with other tokens have the same storage.
  if (!token || !rememberToken(token) || window.parent !== window) return;
  address.searchParams.delete("token");
  history.replaceState(history.state, "", address);
}
