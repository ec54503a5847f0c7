// The page: what is shown stands in its address; here the parts are joined, and kept fresh.

import { history, live, now, status, useToken } from "./api.js";
import { Chart } from "./chart.js";
import { byId, make, marked, say } from "./dom.js";
import { Finder } from "./finder.js";
import { exact, moment } from "./format.js";
import { Legend, swatch } from "./legend.js";
import { Loop } from "./loop.js";
import { Processes } from "./processes.js";
import { Series } from "./series.js";
import { Troubles } from "./troubles.js";

/** What can be shown: how long, and the steps in which the store sums up; 0 is every point, as long as they are few. */
const RANGES = {
  "5m": { ms: 300_000, stepMs: 0, words: "5 minutes" },
  "1h": { ms: 3_600_000, stepMs: 10_000, words: "hour" },
  "24h": { ms: 86_400_000, stepMs: 120_000, words: "24 hours" },
  "7d": { ms: 604_800_000, stepMs: 900_000, words: "7 days" },
};
/** As many as there are colours. */
const SERIES_MAX = 8;
const STATUS_MS = 5000;
/** Past it points are summed up. */
const POINTS_MAX = 5000;
/** What comes can be read from the store after a second; this is more. */
const STORED_MS = 1500;

/** What the address says. */
const state = { keys: [], range: "1h", apart: false };
/** The lines that are shown, by key, each with a colour of its own. */
const lines = new Map();
/** The keys whose events are asked for, and since when they come. */
let heard = { keys: "", since: Infinity };
/** False in an installation without any series. */
let anySeries = true;

const chart = new Chart(byId("chart"), showReading);
const legend = new Legend(toggle);
const processes = new Processes();
const troubles = new Troubles(retry);
const finder = new Finder({
  isShown: (key) => lines.has(key),
  anyShown: () => lines.size > 0,
  onToggle: toggle,
  onChange: () => {
    writeAddress(false);
    search.restart();
  },
  onFound: (any) => {
    anySeries = any;
    show();
  },
});

// --- the address

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  state.keys = [...new Set(words.getAll("key"))].slice(0, SERIES_MAX);
  state.range = words.get("range") in RANGES ? words.get("range") : "1h";
  state.apart = words.has("apart");
  finder.restore(words.get("find") ?? "", words.getAll("where"));
  search.restart();
  apply();
}

/** Writes it; a step that one wants to go back to is a new entry of the browser's history. */
function writeAddress(step = true) {
  const words = new URLSearchParams();
  state.keys.forEach((key) => words.append("key", key));
  words.set("range", state.range);
  if (state.apart) words.set("apart", "1");
  if (finder.text) words.set("find", finder.text);
  finder.where.forEach((test) => words.append("where", test));
  const hash = `#${words}`;
  if (hash === location.hash) return;
  if (step) window.history.pushState(null, "", hash);
  else window.history.replaceState(null, "", hash);
}

/** Changes the state as one wants it, and the page with it. */
function change(what) {
  Object.assign(state, what);
  writeAddress();
  apply();
}

function toggle(key, alone = false) {
  if (alone) change({ keys: [key] });
  else if (lines.has(key)) change({ keys: state.keys.filter((other) => other !== key) });
  else if (lines.size < SERIES_MAX) change({ keys: [...state.keys, key] });
  else say(byId("find-says"), `${SERIES_MAX} series are shown; take one away first`);
}

/** Makes the page what the state says. */
function apply() {
  for (const key of lines.keys()) if (!state.keys.includes(key)) lines.delete(key);
  for (const key of state.keys.filter((key) => !lines.has(key))) {
    const taken = [...lines.values()].map(({ colour }) => colour);
    const colours = Array.from({ length: SERIES_MAX }, (_, n) => `--line-${n}`);
    lines.set(key, { name: key, series: new Series(key), colour: colours.find((colour) => !taken.includes(colour)) });
  }
  document.title = state.keys.length ? `${state.keys.join(", ")} – Leela` : "Leela";
  for (const input of byId("range").querySelectorAll("input")) input.checked = input.value === state.range;
  byId("apart").checked = state.apart;
  byId("apart-label").hidden = byId("clear").hidden = lines.size < 2;
  finder.mark();
  finder.fold();
  chart.moveTo(null);
  show();
  past.restart();
  const keys = state.keys.join("\n");
  if (keys === heard.keys) return;
  heard = { keys, since: Infinity };
  events.restart();
}

byId("range").addEventListener("change", (event) => change({ range: event.target.value }));
byId("apart").addEventListener("change", (event) => change({ apart: event.target.checked }));
byId("clear").addEventListener("click", () => {
  change({ keys: [] });
  byId("find").focus();
});
window.addEventListener("popstate", readAddress);

// --- what is fetched, again and again

/** A loop whose trouble is that of a part. */
function loop(part, text, work, onChange = () => {}) {
  return new Loop(work, (trouble, failures) => {
    if (trouble?.status === 401) askToken(trouble.message);
    if (!troubles.set(part, text, trouble, failures)) return;
    onChange(trouble);
    show();
  });
}

const search = loop("search", "series cannot be searched", (signal) => finder.look(signal));

const past = loop("past", "the past cannot be read", async (signal) => {
  const { ms, stepMs } = RANGES[state.range];
  const begun = now();
  // One after the other: a store that is away is asked once, not for each.
  for (const { series } of [...lines.values()]) {
    await load(series, ms, stepMs, signal);
    show();
  }
  if (!lines.size) return Infinity;
  if (troubles.has("events")) return 10_000;
  // What came just before live events did may not have been in the store.
  if (begun < heard.since + STORED_MS) return STORED_MS;
  return Math.max(60_000, stepMs);
});

async function load(series, ms, stepMs, signal) {
  const ask = (from, step, how) => history(series.key, from, step, how, signal);
  const from = now() - ms;
  if (!stepMs) {
    const counts = await ask(from, ms, "count");
    if (counts.reduce((sum, [, count]) => sum + count, 0) > POINTS_MAX) return load(series, ms, 1000, signal);
    return series.load({ fine: await ask(from) });
  }
  // The last step is not whole yet; it and the one before come in finer ones.
  const edge = Math.floor(now() / stepMs - 1) * stepMs;
  const fineStep = stepMs > 10_000 ? stepMs / 60 : stepMs / 10;
  const [coarse, lows, highs, fine] = await Promise.all(
    [ask(from, stepMs, "avg"), ask(from, stepMs, "min"), ask(from, stepMs, "max"), ask(edge, fineStep, "last")]);
  series.load({ coarse, lows, highs, edge, fine, stepMs });
}

const events = loop("events", "live events do not come", async (signal, loop) => {
  if (!lines.size) return Infinity;
  await live([...lines.keys()], {
    open: () => {
      heard.since = now();
      loop.works();
    },
    event: ({ key, time, value }) => {
      lines.get(key)?.series.take(Math.round(time * 1000), value);
      show();
    },
    lost: () => past.restart(),
  }, signal);
}, (trouble) => {
  // What came meanwhile is in the store.
  if (!trouble) past.restart();
  else heard.since = Infinity;
});

const books = loop("books", "the processes cannot be looked at", async (signal) => {
  processes.show(await status(signal), now());
  return STATUS_MS;
}, () => processes.old());

const loops = [search, past, events, books];

function retry() {
  loops.forEach((loop) => loop.restart());
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) loops.forEach((loop) => loop.stop());
  else retry();
});
window.addEventListener("online", retry);

function askToken(why) {
  say(byId("login-says"), why);
  if (!byId("login").open) byId("login").showModal();
}
byId("login").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("login").close();
  retry();
});

// --- what is seen

let asked = 0;
/** Shows all of it before the next frame, once, however often it is called. */
function show() {
  asked ||= requestAnimationFrame(() => {
    asked = 0;
    const to = now();
    const from = to - RANGES[state.range].ms;
    for (const { series } of lines.values()) series.trim(from - (to - from) / 20);
    const old = troubles.has("events") && (troubles.has("past") || troubles.away);
    chart.view = { from, to, apart: state.apart, old, lines: [...lines.values()] };
    chart.draw();
    if (chart.cursor !== null) showReading();
    legend.show(lines, to);
    showLink();
    showSays(from);
  });
}

function showLink() {
  const [name, text] = troubles.away ? ["away", "no answer"]
    : troubles.has("events") ? ["stale", "not live"]
    : !lines.size ? ["still", "ready"]
    : heard.since < Infinity ? ["live", "live"] : ["still", "connecting"];
  byId("link").className = name;
  say(byId("link"), text);
}

/** What stands in the place of lines. */
function showSays(from) {
  const all = [...lines.values()].map(({ series }) => series);
  let said = "";
  if (!all.length) said = anySeries ? "Choose a series to see its chart." : "No series yet. Send one: `leela send gauge room.temp 21.5`";
  else if (all.some(({ last }) => last?.ms >= from)) said = "";
  else if (troubles.has("past")) said = "The past cannot be read; events are shown as they come.";
  else if (all.every(({ loaded }) => loaded)) said = `No point in the last ${RANGES[state.range].words}.`;
  byId("frame").classList.toggle("none", !all.length);
  if (byId("chart-says").textContent !== said.replaceAll("`", "")) byId("chart-says").replaceChildren(...marked(said));
}

/** What the crosshair points at: beside it for eyes, as the value of the slider for ears. */
function showReading() {
  const { cursor: ms, view: { from, to } } = chart;
  const box = byId("reading");
  const canvas = byId("chart");
  const rows = [...lines.values()].map((line) => ({ ...line, point: line.series.near(ms) })).filter(({ point }) => point);
  box.hidden = ms === null;
  canvas.setAttribute("aria-valuenow", ms === null ? 1 : (ms - from) / (to - from));
  const texts = rows.map(({ name, point }) => `${name} ${exact(point.value)}`);
  canvas.setAttribute("aria-valuetext", ms === null ? `${lines.size} series, ${RANGES[state.range].words}` : `${moment(ms)}: ${texts.join(", ")}`);
  if (ms === null) return;
  box.replaceChildren(make("p", {}, moment(ms)), ...rows.map(({ colour, name, point }) =>
    make("p", {}, swatch(colour), make("span", {}, name), make("b", {}, exact(point.value)))));
  // On the other half, where it is in nobody's way.
  box.className = chart.x(ms) < canvas.clientWidth / 2 ? "right" : "left";
}

/** The chart goes with the time; where motion is unwanted, in steps. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let seconds = 0;
setInterval(() => {
  seconds += 1;
  if (!document.hidden && (!calm.matches || seconds % 10 === 0)) show();
}, 1000);

readAddress();
books.restart();
