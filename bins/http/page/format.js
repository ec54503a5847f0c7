// Numbers and times for people, and the marks of an axis. Nothing here knows the page.

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** Cuts the zeros at the end of a fraction: `2.50` is `2.5`. */
const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/** Thousands apart: `1234567` is `1 234 567`, with spaces that do not break. */
const grouped = (text) => text.replace(/^-?\d{5,}/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, "\u202f"));

/** A value in about four digits: `21.5`, `1 234`, `3.217M`, `4.1e-7`. */
export function short(value) {
  if (value === null || !Number.isFinite(value)) return "no number";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e16) return value.toExponential(2).replace(/\.?0+e/, "e");
  if (size < 1e5) return grouped(trimmed(value.toFixed(Math.max(0, 3 - Math.floor(Math.log10(size))))));
  // What would be rounded up to 1000k is 1M.
  const [unit, letter] = PREFIXES.find(([unit]) => size >= unit * 0.99995);
  return trimmed((value / unit).toPrecision(4)) + letter;
}

/** A value to its last digit. */
export const exact = (value) => (value === null ? "no number" : grouped(String(value)));

/** A count: `1 234 567`. */
export const count = (value) => grouped(String(value));

const two = (number) => String(number).padStart(2, "0");
const day = (date) => date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" });
const minute = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
const second = (date) => `${minute(date)}:${two(date.getSeconds())}`;

/** A moment in local time: `Thu 26 Nov 14:03:05 UTC+01:00`, with the thousandths it has. */
export function moment(ms) {
  const date = new Date(ms);
  const rest = Math.round(ms) % SECOND;
  return `${day(date)} ${second(date)}${rest ? `.${String(rest).padStart(3, "0")}` : ""} ${zone(date)}`;
}

/** The local time of day. */
export const clock = (ms) => second(new Date(ms));

function zone(date) {
  const ahead = -date.getTimezoneOffset();
  const size = Math.abs(ahead);
  return ahead ? `UTC${ahead < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}` : "UTC";
}

/** A length of time in its largest unit: `4 s`, `3 min`, `2 h`, `5 d`. */
export function span(ms) {
  if (ms < MINUTE) return `${Math.max(0, Math.round(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  return ms < 2 * DAY ? `${Math.round(ms / HOUR)} h` : `${Math.round(ms / DAY)} d`;
}

/** The marks of a value axis between `low` and `high`, about `wanted` of them: `{at, step, text: (value) => ..}`. */
export function valueMarks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw * 0.999);
  const at = [];
  // Multiplied, not added up: an error would grow.
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) at.push(n * step || 0);
  const size = Math.max(Math.abs(low), Math.abs(high));
  // 1500 is easier than 1.5k.
  const [unit, letter] = PREFIXES.find(([unit]) => size >= Math.max(unit, 1e4)) ?? [1, ""];
  const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9)));
  // 2.5 wants one digit more than 2 does.
  const more = Number.isInteger(Math.round((step / unit) * 10 ** digits * 1e6) / 1e6) ? 0 : 1;
  const fixed = (value) => (value / unit).toFixed(digits + more) + (value ? letter : "");
  // Far from 0 and close together they differ in their last digits alone.
  return { at, step, text: size < 1e-4 ? short : digits > 6 ? String : fixed };
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30].flatMap((n) => [n * SECOND, n * MINUTE])
  .concat([1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7].map((n) => n * DAY)).sort((a, b) => a - b);

/** The marks of a time axis in local time, at most `most`: `[{at, text, day}]`; at midnight stands the day. */
export function timeMarks(from, to, most) {
  const step = TIME_STEPS.find((step) => (to - from) / step <= most) ?? 7 * DAY;
  const date = new Date(from);
  date.setHours(0, 0, 0, 0);
  const marks = [];
  for (let day = date.getTime(); day <= to; day = date.getTime()) {
    date.setDate(date.getDate() + Math.max(1, step / DAY));
    // By the clock on the wall, since a day may have 23 or 25 hours.
    const mark = (n) => (step < HOUR ? day + n * step : new Date(day).setHours((n * step) / HOUR));
    for (let n = 0, at = day; at < date.getTime(); at = mark((n += 1))) {
      if (at >= from && at <= to) marks.push({ at, ...markText(new Date(at), step) });
    }
  }
  return marks;
}

function markText(date, step) {
  const midnight = date.getHours() + date.getMinutes() + date.getSeconds() === 0;
  if (midnight) return { text: day(date), day: true };
  return { text: step < MINUTE ? second(date) : minute(date), day: false };
}
