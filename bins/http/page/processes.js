// The processes, by their books: what `leela status` shows.

import { byId, make, marked, say } from "./dom.js";
import { clock, count, moment, short } from "./format.js";

/** A counter, or the sum of its family; null where the books have neither. */
function total(counters, family) {
  const values = Object.entries(counters).filter(([name]) => name === family || name.startsWith(`${family}.`));
  return values.length ? values.reduce((sum, [, value]) => sum + value, 0) : null;
}

export class Processes {
  #before = null;
  #open = new Set();
  #said = "";

  /** Shows a report that was read at `ms`. */
  show(report, ms) {
    say(byId("instance"), report.instance);
    byId("instance").title = report.instance;
    const running = report.processes.filter(({ state }) => state === "running").length;
    const books = report.balanced ? "the books balance" : "the books do not balance";
    byId("processes").hidden = false;
    const rows = report.processes.flatMap((process) => this.#rows(process, report.hops, ms));
    const focused = document.activeElement?.closest("#processes button")?.dataset.name;
    byId("processes").tBodies[0].replaceChildren(...rows);
    // The rows are new ones; the focus is not to be lost with the old.
    if (focused) byId("processes").querySelector(`button[data-name="${CSS.escape(focused)}"]`)?.focus();
    this.#findings(report);
    this.#said = `${running} of ${report.processes.length} running, ${books}`;
    say(byId("status-says"), this.#said);
    this.#before = { ms, received: new Map(report.processes.map(({ name, counters }) => [name, total(counters, "received")])) };
  }

  /** What is shown is not of now any more. */
  old() {
    if (this.#before) say(byId("status-says"), `as of ${clock(this.#before.ms)}: ${this.#said}`);
  }

  #rows(process, hops, ms) {
    const { name, state, pid, since, counters } = process;
    const received = total(counters, "received");
    const refused = total(counters, "refused");
    const lost = ["kernel_drops", "lost_in_crash", "missing"].reduce((sum, family) => sum + (total(counters, family) ?? 0), 0)
      + hops.filter((hop) => hop.from === name).reduce((sum, hop) => sum + hop.dropped, 0);
    const number = (label, value, alarming) => make("td", { "data-label": label, title: value === null ? "" : count(value),
      class: alarming && value > 0 ? "some" : "" }, value === null ? "–" : short(value));
    const open = this.#open.has(name);
    const toggle = () => {
      this.#open[open ? "delete" : "add"](name);
      row.nextSibling.hidden = open;
      button.setAttribute("aria-expanded", String(!open));
      button.onclick = null;
    };
    const button = make("button", { type: "button", "data-name": name, "aria-expanded": String(open), onclick: toggle }, name);
    const row = make("tr", {}, make("td", {}, button), make("td", {}, make("span", { class: `state ${state}` }, state)),
      number("Received", received), make("td", { class: "rate" }, this.#rate(name, received, ms)),
      number("Refused", refused, true), number("Lost", lost, true));
    const about = [["process id", String(pid)], ["since", moment(since * 1000)]];
    const entries = [...about, ...Object.entries(counters).map(([counter, value]) => [counter, count(value)])];
    const list = make("dl", {}, ...entries.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
    const more = make("tr", { class: "counters" }, make("td", { colspan: "6" }, list));
    more.hidden = !open;
    return [row, more];
  }

  #rate(name, received, ms) {
    const before = this.#before?.received.get(name);
    if (before === undefined || before === null || received === null || received < before) return "–";
    return short(Math.round(((received - before) / (ms - this.#before.ms)) * 10_000) / 10);
  }

  /** What somebody should look at, on top, in the words of `leela status`. */
  #findings({ findings, processes, balanced }) {
    const section = byId("findings");
    const said = findings.join("\n");
    const bad = !balanced || processes.some(({ state }) => state === "dead" || state === "stopped");
    section.className = findings.length ? `note${bad ? " bad" : ""}` : "";
    section.hidden = !findings.length;
    if (section.dataset.said === said) return;
    section.dataset.said = said;
    const text = findings.length === 1 ? "1 thing to look at" : `${findings.length} things to look at`;
    const list = make("ul", {}, ...findings.map((finding) => make("li", {}, ...marked(finding))));
    const details = make("details", {}, make("summary", {}, text), list);
    details.open = bad || findings.length < 3;
    section.replaceChildren(details);
  }
}
