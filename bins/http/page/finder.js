// The finder: a box to type in, the series found, and the tags that they must have.

import { Trouble, findSeries, now, tags, valuesOf } from "./api.js";
import { byId, make, say } from "./dom.js";
import { count, moment, span } from "./format.js";

const LIMIT = 100;
const TYPING_MS = 120;
/** A series without a point for so long is said to be old. */
const OLD_MS = 10 * 60_000;

export class Finder {
  #found = [];
  #shown = "";
  #active = -1;
  #timer;
  #wide = matchMedia("(min-width: 52.01rem)");

  /** `isShown(key)`, `anyShown()`; `onToggle(key, alone)`; `onChange()` when text or tags are others; `onFound(anyAtAll)`. */
  constructor(hooks) {
    this.hooks = hooks;
    this.where = [];
    this.box = byId("find");
    this.list = byId("results");
    this.box.addEventListener("input", () => this.#changed(TYPING_MS));
    this.box.addEventListener("keydown", (event) => this.#key(event));
    // The box keeps the focus, so that a phone's keyboard and the list stay.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => this.#click(event));
    const finder = byId("finder");
    for (const event of ["focusin", "focusout"]) finder.addEventListener(event, () => setTimeout(() => this.fold()));
    this.#wide.addEventListener("change", () => this.fold());
    byId("tag").addEventListener("change", () => this.#values());
    byId("value").addEventListener("change", () => this.#pick());
    byId("tags").addEventListener("toggle", () => byId("tags").open && this.#tags());
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input:not([type=radio], [type=checkbox]), select, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.box.focus();
      this.box.select();
    });
  }

  get text() {
    return this.box.value;
  }

  /** Takes text and tags, as the address has them. */
  restore(text, where) {
    if (this.box.value !== text) this.box.value = text;
    this.where = where;
    this.#chips();
  }

  #changed(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hooks.onChange(), wait);
  }

  /** On a narrow page the list is there while it is used, or nothing else is. */
  fold() {
    const open = this.#wide.matches || !this.hooks.anyShown() || byId("finder").contains(document.activeElement);
    byId("finder").classList.toggle("shut", !open);
    this.box.setAttribute("aria-expanded", String(open && this.#found.length > 0));
  }

  /** Asks for the series; gives the ms until they are to be asked for again. */
  async look(signal) {
    try {
      this.#show(await findSeries(this.text, this.where, LIMIT, signal));
    } catch (error) {
      // A wrong expression is said where it is typed; it is no trouble of the server's.
      if (!(error instanceof Trouble) || error.status !== 400) throw error;
      say(byId("find-says"), error.message);
      return Infinity;
    }
    return this.#found.length ? 30_000 : 3000;
  }

  #show({ series, more }) {
    const all = !this.text && !this.where.length;
    const some = `${more ? "the first " : ""}${count(series.length)} series`;
    say(byId("find-says"), series.length ? some : all ? "no series yet" : "no series found");
    // The list stays as it is, and where it is, while nothing is new.
    const shown = JSON.stringify(series.map(({ key, last }) => [key, this.#age(last)]));
    if (shown !== this.#shown) {
      const active = this.#found[this.#active]?.key;
      this.#shown = shown;
      this.#found = series;
      this.#active = series.findIndex(({ key }) => key === active);
      this.list.replaceChildren(...series.map((series, n) => this.#option(series, n)));
    }
    this.mark();
    this.fold();
    this.hooks.onFound(series.length > 0 || !all);
  }

  /** How old a series is, if that is worth a word. */
  #age(last) {
    const age = now() - last * 1000;
    return age > OLD_MS ? `last point ${span(age)} ago` : null;
  }

  #option({ key, last }, n) {
    const [name, ...tags] = key.split(";");
    const age = this.#age(last);
    const old = age && make("small", { title: moment(last * 1000) }, age);
    const said = make("span", {}, name, tags.length ? make("small", {}, tags.join("  ")) : null, old);
    return make("li", { role: "option", id: `found-${n}`, "data-key": key }, said);
  }

  /** Marks what is shown, and the active one. */
  mark() {
    for (const [n, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", String(this.hooks.isShown(option.dataset.key)));
      option.classList.toggle("active", n === this.#active);
    }
    const active = this.list.children[this.#active];
    active?.scrollIntoView({ block: "nearest" });
    if (active) this.box.setAttribute("aria-activedescendant", active.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const last = this.#found.length - 1;
    if (event.key === "ArrowDown") this.#active = this.#active >= last ? 0 : this.#active + 1;
    else if (event.key === "ArrowUp") this.#active = this.#active <= 0 ? last : this.#active - 1;
    else if (event.key === "Enter") this.#enter(event.shiftKey);
    else if (event.key === "Escape") this.#escape();
    else return;
    event.preventDefault();
    this.mark();
  }

  /** Enter takes the active one, or the only one. */
  #enter(alone) {
    const series = this.#found[this.#active] ?? (this.#found.length === 1 ? this.#found[0] : null);
    if (series) this.hooks.onToggle(series.key, alone);
  }

  /** Escape takes back the choice in the list, then the text, then the focus. */
  #escape() {
    if (this.#active >= 0) this.#active = -1;
    else if (this.text) {
      this.box.value = "";
      this.#changed(0);
    } else this.box.blur();
  }

  #click(event) {
    const option = event.target.closest("[role=option]");
    if (option) this.hooks.onToggle(option.dataset.key, event.shiftKey);
  }

  async #tags() {
    const answer = await this.#quietly(tags());
    const choices = answer?.tags.map(({ tag, series }) => make("option", { value: tag }, `${tag} (${count(series)})`)) ?? [];
    const first = choices.length ? "tag …" : "no series has a tag";
    byId("tag").replaceChildren(make("option", { value: "" }, first), ...choices);
    this.#offer([]);
  }

  async #values() {
    const tag = byId("tag").value;
    const answer = tag && (await this.#quietly(valuesOf(tag)));
    const choices = (answer?.values ?? []).map(({ value, series }) => make("option", { value }, `${value} (${count(series)})`));
    this.#offer(choices);
  }

  #offer(choices) {
    byId("value").replaceChildren(make("option", { value: "" }, "value …"), ...choices);
    byId("value").disabled = !choices.length;
  }

  async #quietly(answer) {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      say(byId("find-says"), error.message);
      return null;
    }
  }

  #pick() {
    const [tag, value] = [byId("tag").value, byId("value").value];
    if (!value) return;
    this.where = [...this.where.filter((test) => !test.startsWith(`${tag}=`)), `${tag}=${value}`];
    this.#chips();
    this.#changed(0);
  }

  #chips() {
    byId("where").replaceChildren(...this.where.map((test) => {
      const drop = () => {
        this.where = this.where.filter((other) => other !== test);
        this.#chips();
        this.#changed(0);
        this.box.focus();
      };
      return make("li", {}, make("button", { type: "button", "aria-label": `Without ${test}`, onclick: drop }, `${test} ×`));
    }));
  }
}
