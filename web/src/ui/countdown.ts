// "Trying again in 3 s", counted down without a re-render of anything else.

import { setText } from "./dom";

/** Keeps `element` saying how long it is until what `dueAt` gives (`performance.now()` or `null`). Call the result to stop. */
export function countdown(element: HTMLElement, dueAt: () => number | null): () => void {
  const show = () => {
    const due = dueAt();
    const left = due === null ? 0 : Math.ceil((due - performance.now()) / 1000);
    setText(element, due === null ? "" : left > 0 ? `Trying again in ${left} s.` : "Trying again…");
  };
  const timer = window.setInterval(show, 250);
  show();
  return () => clearInterval(timer);
}
