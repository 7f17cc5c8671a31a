// The build: five pages into dist/, everything they need under /assets/ with a hash in its name
// (the server says "immutable" for that folder). In development the same addresses as the server
// gives, with WHIP, WHEP, HLS and the API passed on to a server on 127.0.0.1:8080; with WEIR_MOCK=1 the
// API is made up (test/mock-api.ts). The player by itself is built by vite.player.config.ts.

import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { mockApi } from "./test/mock-api";

const page = (name: string) => fileURLToPath(new URL(`${name}.html`, import.meta.url));
const server = process.env["WEIR_URL"] ?? "http://127.0.0.1:8080";

/** `/publish/demo` is publish.html, as the server has it. */
function streamPages(): Plugin {
  return {
    name: "stream-pages",
    configureServer(dev) {
      dev.middlewares.use((request, _response, next) => {
        const match = /^\/(?:(publish|watch|embed)\/[^/?]+|(admin))(\?.*)?$/.exec(request.url ?? "");
        if (match) request.url = `/${match[1] ?? match[2]}.html${match[3] ?? ""}`;
        next();
      });
    },
  };
}

export default defineConfig({
  plugins: [streamPages(), ...(process.env["WEIR_MOCK"] ? [mockApi()] : [])],
  build: {
    target: "es2021",
    modulePreload: { polyfill: false },
    // hls.js, a chunk of its own that is loaded only where it is needed.
    chunkSizeWarningLimit: 700,
    rollupOptions: { input: ["index", "publish", "watch", "embed", "admin"].map(page) },
  },
  server: {
    // The browser's own Host goes on: to the server these are then pages of its own.
    proxy: Object.fromEntries(
      ["/whip/", "/whep/", "/live/", "/api/", "/healthz", "/readyz", "/metrics"].map((path) => [
        path,
        { target: server, changeOrigin: false },
      ]),
    ),
  },
  test: { include: ["test/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
