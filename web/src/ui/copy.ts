// Copying to the clipboard, with an answer that is seen and heard.

import { el, setText } from "./dom";
import { icon } from "./icons";

/** Copies; false if the browser refuses. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Off localhost without TLS there is no clipboard API; the old way still works there.
    const area = el("textarea", { readonly: "", class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Makes `button` copy what `text` gives at that moment. */
export function copies(button: HTMLButtonElement, text: () => string): void {
  const label = button.textContent ?? "";
  let timer = 0;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.classList.toggle("done", done);
    setLabel(button, done ? "Copied" : "Not allowed");
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      button.classList.remove("done");
      setLabel(button, label);
    }, 1600);
  });
}

function setLabel(button: HTMLButtonElement, text: string): void {
  const label = button.querySelector("span") ?? button;
  setText(label, text);
}

/** Fills a `.copyable` element: the text, selectable, and a button. Returns how to change the text. */
export function copyable(holder: HTMLElement, what: string, href = false): (text: string) => void {
  const code = el("code", { translate: "no" });
  const link = el("a", {});
  if (href) code.append(link);
  const button = el("button", { class: "copy", type: "button" }, icon("copy"), el("span", {}, "Copy"));
  button.title = `Copy ${what}`;
  let current = "";
  copies(button, () => current);
  holder.append(code, button);
  return (text) => {
    current = text;
    if (href) link.href = text;
    if (href) setText(link, text);
    // Lines break between words, not at the hyphen of an option.
    else code.replaceChildren(...text.split(/( )/).map((word) => (word === " " ? word : el("span", {}, word))));
  };
}
