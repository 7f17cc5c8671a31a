// As `load.ts`, for the classic script /weir-player.js: hls.js lies beside it as a classic script of its own, which a
// page may load from another server without that one's leave (CORS).

import { HOME } from "../home";
import { Problem } from "../problem";
import type { HlsJsModule } from "./load";

declare global {
  // Set by weir-hls.js.
  var weirHls: HlsJsModule | undefined;
}

let loading: Promise<HlsJsModule> | null = null;

export function loadHlsJs(): Promise<HlsJsModule> {
  loading ??= new Promise<HlsJsModule>((done, fail) => {
    const script = document.createElement("script");
    script.src = `${HOME}/weir-hls.js`;
    script.addEventListener("load", () => (globalThis.weirHls ? done(globalThis.weirHls) : fail(missing())));
    script.addEventListener("error", () => fail(missing()));
    document.head.append(script);
  }).catch((error: unknown) => {
    // The next may have more luck.
    loading = null;
    throw error;
  });
  return loading;
}

function missing(): Problem {
  return new Problem("No player for HLS", `${HOME}/weir-hls.js cannot be loaded.`);
}
