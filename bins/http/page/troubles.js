// What is wrong now, on top of the page: what, since when, why, and what to do.

import { now } from "./api.js";
import { byId, make, marked } from "./dom.js";
import { clock } from "./format.js";

export class Troubles {
  #all = new Map();

  constructor(onRetry) {
    this.onRetry = onRetry;
  }

  has(part) {
    return this.#all.has(part);
  }

  /** True where the server itself is out of reach. */
  get away() {
    return [...this.#all.values()].some(({ away }) => away);
  }

  /** Sets or takes back what is wrong with a part; `text` says what cannot be done. True when it changed. */
  set(part, text, trouble, failures) {
    if (!trouble) {
      if (!this.#all.delete(part)) return false;
    } else {
      const since = this.#all.get(part)?.since ?? now();
      this.#all.set(part, { text, said: trouble.message, away: trouble.away, since, failures });
    }
    this.#show();
    return true;
  }

  #show() {
    const lines = this.#lines();
    const section = byId("troubles");
    // Said anew only when it is new: a screen reader reads it aloud.
    if (section.dataset.said === lines.join("\n")) return;
    section.dataset.said = lines.join("\n");
    section.replaceChildren(...lines.map((line) => {
      const button = make("button", { type: "button", onclick: this.onRetry }, "Try now");
      return make("p", { class: "note bad" }, ...marked(line), button);
    }));
  }

  #lines() {
    // A connection that is back at the first try is not worth a word.
    const all = [...this.#all.values()].filter(({ away, failures }) => !away || failures > 1);
    const away = all.find(({ away }) => away);
    if (away) {
      return [`Since ${clock(away.since)} the server at ${location.host} does not answer, and what is shown is of then. `
        + "It is tried again by itself; `leela status` on its host says what runs there."];
    }
    return [...Map.groupBy(all, ({ said }) => said)].map(([said, parts]) => {
      const since = Math.min(...parts.map(({ since }) => since));
      return `Since ${clock(since)} ${parts.map(({ text }) => text).join(", ")}: ${said}`;
    });
  }
}
