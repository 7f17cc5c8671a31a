// <weir-player> by itself: as a module for npm into player/dist/, and as a classic script that the
// server gives at /weir-player.js into dist/, after the pages are there.

import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function intoPages(): Plugin {
  return {
    name: "into-pages",
    closeBundle: () => copyFileSync(at("player/dist/weir-player.js"), at("dist/weir-player.js")),
  };
}

export default defineConfig({
  plugins: [intoPages()],
  publicDir: false,
  build: {
    target: "es2021",
    outDir: "player/dist",
    lib: {
      entry: at("src/element.ts"),
      name: "weir",
      formats: ["es", "iife"],
      fileName: (format) => (format === "es" ? "weir-player.mjs" : "weir-player.js"),
    },
  },
});
