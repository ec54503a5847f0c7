// What the page asks of the server: the one place that knows its addresses and shapes.

/** A server that is silent for so long is away. */
const SILENCE_MS = 10_000;

/** An answer that is no answer: what the server said, or that it said nothing (status 0). */
export class Trouble extends Error {
  constructor(status, text, waitMs = 0) {
    super(text);
    this.status = status;
    this.waitMs = waitMs;
  }

  /** True where the server itself, not something behind it, is out of reach. */
  get away() {
    return this.status === 0;
  }
}

/** The server's clock less this machine's, in ms: a chart ends at the server's now. */
let skew = 0;
export const now = () => Date.now() + skew;

let token = sessionStorage.getItem("token");

/** Takes the token that is sent from now on. */
export function useToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

/** `parameters` is an object, or a list of pairs. */
async function request(path, parameters, headers, signal) {
  const address = `${path}?${new URLSearchParams(parameters)}`.replace(/\?$/, "");
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(address, { headers: { ...headers, ...authorization }, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw signal.reason ?? error;
    throw new Trouble(0, "no answer");
  }
  const date = Date.parse(response.headers.get("Date"));
  // The header has whole seconds, so less than that is no difference.
  if (date) skew = Math.abs(date - Date.now()) > 2500 ? date - Date.now() : 0;
  if (!response.ok) throw await trouble(response);
  return response;
}

async function trouble(response) {
  const wait = Number(response.headers.get("Retry-After")) * 1000 || 0;
  let said = "";
  try {
    const problem = await response.json();
    said = problem.detail ?? problem.reason ?? problem.title;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  return new Trouble(response.status, said || `${response.status} ${response.statusText}`, wait);
}

/** The JSON of an answer. */
export async function ask(path, parameters = {}, signal = undefined) {
  const timeout = AbortSignal.timeout(SILENCE_MS);
  try {
    const response = await request(path, parameters, {}, signal ? AbortSignal.any([signal, timeout]) : timeout);
    return await response.json();
  } catch (error) {
    if (signal?.aborted || error instanceof Trouble) throw error;
    throw error instanceof SyntaxError ? new Trouble(502, "the answer is no JSON") : new Trouble(0, "no answer in time");
  }
}

/** Text as a regular expression that finds it. */
export const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|#&~\-]/g, "\\$&");

/** Names that have `text`: a regular expression in any case, where a blank is anything between. */
export function findSeries(text, where, limit, signal) {
  const match = text.trim() && `(?i)${text.trim().replace(/\s+/g, ".*")}`;
  return ask("/v2/series", [["match", match], ["limit", limit], ...where.map((test) => ["where", test])], signal);
}

/** The points of one series from `from` on, as `[[ms, value], ...]`: each, or what `how` makes of those of a step. */
export async function history(key, from, step, how, signal) {
  const grid = step ? { step: `${step}ms`, fn: how } : {};
  const { series } = await ask("/v2/range", { key, from: (from / 1000).toFixed(3), ...grid }, signal);
  // A step is stamped with its end; that of the last one is yet to come.
  return (series[0]?.points ?? []).map(([seconds, value]) => [Math.min(Math.round(seconds * 1000), now()), value]);
}

export const status = (signal) => ask("/v2/status", {}, signal);
export const tags = (signal) => ask("/v2/tags", {}, signal);
export const valuesOf = (tag, signal) => ask(`/v2/tags/${encodeURIComponent(tag)}`, {}, signal);

/**
 * Events of these series as they come, until the signal; gives way with a Trouble when the stream ends. `on.open()`,
 * `on.event({key, time, value})`, and `on.lost()` where this client was too slow for some.
 * By fetch, since EventSource neither tells why it is refused nor sends a token.
 */
export async function live(keys, on, signal) {
  const match = `^(?:${keys.map(literal).join("|")})$`;
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), 4 * SILENCE_MS);
  };
  heard();
  try {
    const both = AbortSignal.any([signal, silence.signal]);
    const response = await request("/v2/live", { match }, { Accept: "text/event-stream" }, both);
    on.open();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      heard();
      const messages = (rest + part.value).split(/\n\n/);
      rest = messages.pop();
      messages.forEach((message) => tell(message, on));
    }
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof Trouble ? error : new Trouble(0, "no answer");
  } finally {
    clearTimeout(timer);
  }
  throw new Trouble(503, "the stream of events ended");
}

function tell(message, on) {
  const fields = new Map(message.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trim()]));
  // Comments have no data: they only show that somebody is there.
  if (!fields.has("data")) return;
  const data = JSON.parse(fields.get("data"));
  if (fields.get("event") === "ended") throw new Trouble(503, data.detail);
  if (fields.get("event") === "lost") on.lost();
  else on.event(data);
}
