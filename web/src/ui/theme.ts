// Dark and light: the system's preference until somebody presses the button; then remembered. The
// remembered one is put in place before the first paint by `public/assets/theme-1.js`.

import { byId } from "./dom";
import { icon } from "./icons";

const KEY = "weir.theme";

export function themeButton(): void {
  const button = byId<HTMLButtonElement>("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset["theme"];
    return chosen ? chosen === "dark" : system.matches;
  };
  const show = () => {
    const other = isDark() ? "light" : "dark";
    button.replaceChildren(icon(other === "light" ? "sun" : "moon"));
    button.setAttribute("aria-label", `Use the ${other} theme`);
    button.title = `Use the ${other} theme`;
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset["theme"] = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Not remembered then.
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}
