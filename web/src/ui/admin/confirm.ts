// "Really?" before somebody is disconnected.

import { el } from "../dom";

/** Resolves to true when the person says yes. */
export function confirmed(question: string, consequence: string, yes: string): Promise<boolean> {
  const cancel = el("button", { class: "button", type: "button" }, "Cancel");
  const go = el("button", { class: "button stop", type: "button" }, yes);
  const dialog = el(
    "dialog",
    { class: "confirm", "aria-label": question },
    el("h2", {}, question),
    el("p", {}, consequence),
    el("p", { class: "confirm-end" }, cancel, go),
  );
  document.body.append(dialog);
  return new Promise((decide) => {
    const end = (answer: boolean) => {
      // Closing gives the focus back to what had it.
      dialog.close();
      dialog.remove();
      decide(answer);
    };
    cancel.addEventListener("click", () => end(false));
    go.addEventListener("click", () => end(true));
    dialog.addEventListener("cancel", () => end(false));
    dialog.showModal();
    cancel.focus();
  });
}
