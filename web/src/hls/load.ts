// Gets the chunk with hls.js when it is needed. The classic script, which cannot have chunks, has `load-script.ts` in
// place of this file (vite.player.config.ts).

export type HlsJsModule = typeof import("./hlsjs");

export const loadHlsJs = (): Promise<HlsJsModule> => import("./hlsjs");
