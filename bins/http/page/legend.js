// The legend: the series of the chart with their colours and values.

import { byId, make, say } from "./dom.js";
import { exact, moment, short, span } from "./format.js";

/** A square in the colour of a line. */
export function swatch(colour) {
  const element = make("i", { class: "swatch" });
  element.style.background = `var(${colour})`;
  return element;
}

export class Legend {
  #rows = new Map();

  constructor(onRemove) {
    this.onRemove = onRemove;
  }

  /** Shows these lines, by key, at a moment. */
  show(lines, now) {
    byId("legend").hidden = !lines.size;
    for (const [key, row] of this.#rows) {
      if (!lines.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
    for (const [key, line] of lines) {
      if (!this.#rows.has(key)) {
        this.#rows.set(key, this.#row(key, line.colour));
        byId("legend").tBodies[0].append(this.#rows.get(key));
      }
      this.#fill(this.#rows.get(key), line.series, now);
    }
  }

  #row(key, colour) {
    const remove = make("button", { type: "button", "aria-label": `Remove ${key}`, title: "Remove",
      onclick: () => this.onRemove(key) }, "×");
    return make("tr", { "data-key": key }, make("td", { class: "key" }, swatch(colour), key),
      make("td", { "data-label": "Latest" }, make("span"), make("small")),
      make("td", { "data-label": "Lowest" }), make("td", { "data-label": "Highest" }),
      make("td", { class: "actions" }, remove));
  }

  #fill(row, series, now) {
    const [, latest, low, high] = row.cells;
    const { last } = series;
    const old = last && series.gapMs < Infinity && now - last.ms > Math.max(series.gapMs, 30_000);
    say(latest.firstChild, last ? short(last.value) : "–");
    say(latest.lastChild, old ? `${span(now - last.ms)} ago` : "");
    latest.title = last ? `${exact(last.value)} at ${moment(last.ms)}` : "no point in this range";
    const numbers = series.points.filter(({ value }) => value !== null);
    const lowest = numbers.reduce((least, point) => Math.min(least, point.low), Infinity);
    const highest = numbers.reduce((most, point) => Math.max(most, point.high), -Infinity);
    for (const [cell, value] of [[low, lowest], [high, highest]]) {
      say(cell, numbers.length ? short(value) : "–");
      cell.title = numbers.length ? exact(value) : "";
    }
  }
}
