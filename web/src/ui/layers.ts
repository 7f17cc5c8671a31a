// The layer menu of the player. The list comes from the API, which the server may keep from
// viewers, and the choice goes by WHEP's layer extension: without either there is no menu.

import { videoEncodings, type Encoding } from "../api";
import * as format from "../format";
import type { Player } from "../player";
import { toProblem } from "../problem";
import { el } from "./dom";
import type { StreamInfo } from "./stream-info";

const HIGHEST = "";

export class LayerMenu {
  readonly select = el("select", { "aria-label": "Layer", title: "Layer" });
  private chosen = HIGHEST;
  private shown = "";
  private client: unknown = null;

  constructor(
    readonly box: HTMLElement,
    private readonly info: StreamInfo,
    private readonly player: Player,
  ) {
    box.hidden = true;
    box.append(this.select);
    this.select.addEventListener("change", () => {
      this.chosen = this.select.value;
      void this.apply();
    });
  }

  /** To be called when the player or what is known of the stream changes. */
  update(): void {
    const { client, state } = this.player;
    this.show(client?.canChooseLayer && this.info.stream ? videoEncodings(this.info.stream) : []);
    if (state !== "playing" || client === this.client) return;
    this.client = client;
    // A new session starts at the highest layer.
    if (this.chosen !== HIGHEST) void this.apply();
  }

  private async apply(): Promise<void> {
    try {
      await this.player.client?.chooseLayer(this.chosen === HIGHEST ? null : this.chosen);
      this.select.setCustomValidity("");
    } catch (error) {
      this.chosen = HIGHEST;
      this.select.value = HIGHEST;
      this.select.setCustomValidity(toProblem(error).message);
      this.select.reportValidity();
    }
  }

  private show(encodings: Encoding[]): void {
    this.box.hidden = encodings.length < 2;
    const key = JSON.stringify(encodings.map((e) => [e.id, e.width, e.height, e.active]));
    // Rebuilding would close the menu under the viewer's hand.
    if (key === this.shown) return;
    this.shown = key;
    this.select.replaceChildren(
      el("option", { value: HIGHEST }, "Highest"),
      ...encodings.map((encoding) => {
        const name = format.size(encoding.width, encoding.height) || encoding.id;
        return el("option", { value: encoding.id }, encoding.active ? name : `${name} (paused)`);
      }),
    );
    // A layer that the publisher no longer sends: the server shows the highest then.
    if (!encodings.some((encoding) => encoding.id === this.chosen)) this.chosen = HIGHEST;
    this.select.value = this.chosen;
  }
}
