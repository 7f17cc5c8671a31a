// <weir-player> by itself, three builds by `--mode`:
//
//   module   for npm, into player/dist/: hls.js is a chunk of its own
//   script   the classic script that the server gives at /weir-player.js, into dist/, after the pages are there
//   hls      what that loads when a stream is to come by HLS: /weir-hls.js, a classic script too, for those have no chunks

import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const BUILDS = {
  module: { entry: "src/element.ts", name: "weir", format: "es", file: "weir-player.mjs" },
  script: { entry: "src/element.ts", name: "weir", format: "iife", file: "weir-player.js" },
  hls: { entry: "src/hls/hlsjs.ts", name: "weirHls", format: "iife", file: "weir-hls.js" },
} as const;

function intoPages(file: string): Plugin {
  return {
    name: "into-pages",
    closeBundle: () => copyFileSync(at(`player/dist/${file}`), at(`dist/${file}`)),
  };
}

export default defineConfig(({ mode }) => {
  const { entry, name, format, file } = BUILDS[mode as keyof typeof BUILDS];
  const script = format === "iife";
  return {
    plugins: script ? [intoPages(file)] : [],
    publicDir: false,
    resolve: { alias: script ? [{ find: "./load", replacement: at("src/hls/load-script.ts") }] : [] },
    build: {
      target: "es2021",
      chunkSizeWarningLimit: 1000,
      outDir: "player/dist",
      emptyOutDir: !script,
      lib: { entry: at(entry), name, formats: [format], fileName: () => file },
      rollupOptions: { output: { chunkFileNames: "[name]-[hash].mjs" } },
    },
  };
});
