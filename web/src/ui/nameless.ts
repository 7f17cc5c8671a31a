// What a stream's page says when its address names no stream.

import { el } from "./dom";

export function nameless(holder: HTMLElement): void {
  document.documentElement.dataset["state"] = "failed";
  holder.replaceChildren(
    el(
      "div",
      { class: "nameless", role: "alert" },
      el("h2", {}, "This address names no stream"),
      el("p", {}, "A stream name is 1 to 128 letters, digits and . _ ~ - and nothing else."),
      el("p", {}, el("a", { href: "/" }, "See what is live")),
    ),
  );
}
