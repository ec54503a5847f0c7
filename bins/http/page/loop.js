// Work that is done again and again while the page is seen.

import { Trouble } from "./api.js";

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

export class Loop {
  #turn = null;
  #failures = 0;

  /**
   * `work(signal, loop)` gives the ms to its next turn, Infinity for none, or throws a Trouble; after that it is tried
   * again, each time later. `onTrouble(trouble | null, failures)` is told how it stands.
   */
  constructor(work, onTrouble) {
    this.work = work;
    this.onTrouble = onTrouble;
  }

  stop() {
    this.#turn?.abort();
  }

  restart() {
    this.stop();
    this.#turn = new AbortController();
    if (!document.hidden) this.#run(this.#turn.signal);
  }

  /** It works: a next failure is the first again. */
  works() {
    this.#failures = 0;
    this.onTrouble(null, 0);
  }

  async #run(signal) {
    while (!signal.aborted) {
      const wait = await this.#once(signal);
      if (signal.aborted || wait === Infinity) return;
      await new Promise((go) => {
        const timer = setTimeout(go, wait);
        signal.addEventListener("abort", () => go(clearTimeout(timer)), { once: true });
      });
    }
  }

  /** One turn; gives the ms to the next. */
  async #once(signal) {
    try {
      const wait = await this.work(signal, this);
      if (!signal.aborted) this.works();
      return wait;
    } catch (error) {
      if (signal.aborted) return Infinity;
      if (!(error instanceof Trouble)) throw error;
      // Never the same for all pages that lost the same server.
      const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures) * (0.75 + Math.random() / 2);
      this.#failures += 1;
      this.onTrouble(error, this.#failures);
      return error.status === 401 ? Infinity : Math.max(wait, error.waitMs);
    }
  }
}
