// The few lines of DOM work that every page repeats.

/** The element of this page's HTML with this id. That it is there is the HTML's promise. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`this page has no #${id}`);
  return element as T;
}

type Child = Node | string | null;

/** `el("p", { class: "small" }, "text")`. Text is never parsed as HTML. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child): child is Node | string => child !== null));
  return element;
}

/** An SVG from markup of our own; never from what came over the network. */
export function svg(markup: string): SVGSVGElement {
  const holder = document.createElement("template");
  holder.innerHTML = markup;
  // A copy that belongs to this document; the template has one of its own.
  return document.importNode(holder.content.firstElementChild as SVGSVGElement, true);
}

/** Sets text only when it differs, so that polling disturbs neither selection nor screen readers. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
