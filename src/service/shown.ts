// Which layers a client's process has open for one handle, as far as the daemon can know: states are taken in their order, but nobody
// knows when, and one that a later state overtook is never taken.

interface ShownState {
  readonly serial: number;
  readonly layers: ReadonlySet<string>;
}

export class Shown {
  /** The state that the client said last it has taken, and all that were made for it since; before it said any, all. */
  private states: ShownState[] = [];
  private taken = 0;

  /** A state with these layers (as `layerTag` names them) is on its way to the client. */
  told(serial: number, layers: readonly string[]): void {
    if (serial > this.taken) this.states.push({ serial, layers: new Set(layers) });
  }

  /** The client has taken that state, or a later one: what only earlier ones had it reads no more. A serial that was not told says nothing. */
  took(serial: number): void {
    if (!this.states.some((state) => state.serial === serial)) return;
    this.taken = serial;
    this.states = this.states.filter((state) => state.serial >= serial);
  }

  /** The layers that it has open for certain, whichever of the states is in force: their volumes need not be sent again. */
  certain(): ReadonlySet<string> {
    if (this.taken === 0) return new Set();
    const [first, ...later] = this.states;
    return new Set([...first?.layers ?? []].filter((layer) => later.every(({ layers }) => layers.has(layer))));
  }

  /** Whether it may still read a layer that `isOne` says yes to. */
  mayShow(isOne: (layer: string) => boolean): boolean {
    return this.states.some(({ layers }) => [...layers].some(isOne));
  }

  /** Nothing is known of it: it opened the image at an earlier daemon. */
  get isUnknown(): boolean {
    return this.states.length === 0;
  }
}
