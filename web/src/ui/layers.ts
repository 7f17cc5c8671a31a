// The layer menu of the player. The list comes from the API, which the server may keep from
// viewers, and the choice goes by WHEP's layer extension: without either there is no menu.

import { getStream, videoEncodings, type Encoding } from "../api";
import * as format from "../format";
import type { Player } from "../player";
import { toProblem } from "../problem";
import { el } from "./dom";

const POLL_MS = 5000;
const HIGHEST = "";

export class LayerMenu {
  readonly select = el("select", { "aria-label": "Layer", title: "Layer" });
  private chosen: string | null = null;
  private shown = "";
  private client: unknown = null;
  private denied = false;

  constructor(
    readonly box: HTMLElement,
    private readonly stream: string,
    private readonly player: Player,
  ) {
    box.hidden = true;
    box.append(this.select);
    this.select.addEventListener("change", () => {
      this.chosen = this.select.value === HIGHEST ? null : this.select.value;
      void this.apply();
    });
    window.setInterval(() => void this.refresh(), POLL_MS);
  }

  /** To be called when the player's state changes. */
  update(): void {
    const client = this.player.client;
    if (this.player.state !== "playing" || client === this.client) return;
    this.client = client;
    void this.refresh();
    // A new session starts at the highest layer.
    if (this.chosen !== null) void this.apply();
  }

  private async apply(): Promise<void> {
    try {
      await this.player.client?.chooseLayer(this.chosen);
      this.select.setCustomValidity("");
    } catch (error) {
      this.chosen = null;
      this.select.value = HIGHEST;
      this.select.setCustomValidity(toProblem(error).message);
      this.select.reportValidity();
    }
  }

  private async refresh(): Promise<void> {
    if (this.denied || document.hidden || this.player.state !== "playing") return;
    if (!this.player.client?.canChooseLayer) return this.show([]);
    try {
      this.show(videoEncodings(await getStream(this.stream, this.player.token)));
    } catch (error) {
      this.denied = toProblem(error).denied;
      this.show([]);
    }
  }

  private show(encodings: Encoding[]): void {
    this.box.hidden = encodings.length < 2;
    const key = JSON.stringify(encodings.map((e) => [e.id, e.height, e.active]));
    if (key === this.shown) return;
    this.shown = key;
    this.select.replaceChildren(
      el("option", { value: HIGHEST }, "Highest"),
      ...encodings.map((encoding) => {
        const name = format.size(encoding.width, encoding.height) || encoding.id;
        return el("option", { value: encoding.id }, encoding.active ? name : `${name} (paused)`);
      }),
    );
    this.select.value = this.chosen ?? HIGHEST;
    if (this.select.value !== (this.chosen ?? HIGHEST)) this.select.value = HIGHEST;
  }
}
