// The access token of this visit: from `?token=`, else what was typed into a page of this tab.
// sessionStorage only: it goes when the tab goes.

const KEY = "weir.token";

/** The token to send, or `null`. One in the address is remembered for this tab's other pages. */
export function currentToken(): string | null {
  const fromAddress = new URLSearchParams(location.search).get("token");
  if (fromAddress) rememberToken(fromAddress);
  try {
    return fromAddress || sessionStorage.getItem(KEY);
  } catch {
    return fromAddress;
  }
}

/** Keeps `token` for this tab; an empty one forgets it. */
export function rememberToken(token: string): void {
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // A sandboxed iframe has no storage: then the address carries it.
  }
}
