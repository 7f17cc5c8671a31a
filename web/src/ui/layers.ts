// The layer menu of the player. By WebRTC the list comes with the session's events, or from the API where the
// server lets a viewer read that, and the choice goes by WHEP's layer extension; without either there is
// no menu. By HLS it is what the playlist lists, and without a choice the network decides.

import type { Layer } from "../events";
import * as format from "../format";
import type { Player } from "../player";
import { toProblem } from "../problem";
import { el } from "./dom";

const HIGHEST = "";

export class LayerMenu {
  readonly select = el("select", { "aria-label": "Layer", title: "Layer" });
  private shown = "";

  constructor(
    readonly box: HTMLElement,
    private readonly player: Player,
  ) {
    box.hidden = true;
    box.append(this.select);
    this.select.addEventListener("change", () => void this.apply());
  }

  /** To be called when the player or what is known of the stream changes. */
  update(known: Layer[]): void {
    const layers = this.player.canChoose ? known : [];
    this.box.hidden = layers.length < 2;
    const { way } = this.player;
    const key = JSON.stringify([way, layers]);
    // Rebuilding would close the menu under the viewer's hand.
    if (key !== this.shown) {
      this.shown = key;
      this.select.replaceChildren(el("option", { value: HIGHEST }, way === "hls" ? "Automatic" : "Highest"), ...layers.map(option));
    }
    // A layer that the publisher no longer sends: the server shows the highest then.
    const chosen = layers.some((layer) => layer.id === this.player.layer) ? this.player.layer : HIGHEST;
    if (this.select.value !== chosen) this.select.value = chosen ?? HIGHEST;
  }

  private async apply(): Promise<void> {
    const wanted = this.select.value;
    try {
      await this.player.choose(wanted === HIGHEST ? null : wanted);
      this.select.setCustomValidity("");
    } catch (error) {
      this.select.setCustomValidity(toProblem(error).message);
      this.select.reportValidity();
    }
  }
}

function option({ id, width, height, active }: Layer): HTMLOptionElement {
  const name = format.size(width, height) || id;
  return el("option", { value: id }, active ? name : `${name} (paused)`);
}
