// The chart: a canvas, what it shows, and the crosshair by pointer and by keyboard.

import { timeMarks, valueMarks } from "./format.js";

const MARGIN = { top: 14, right: 14, bottom: 26 };
const PANEL_GAP = 24;

export class Chart {
  #canvas;
  #colours = {};
  #panels = [];
  #left = 0;
  #asked = 0;
  /** The moment of the crosshair, or null. */
  cursor = null;
  /** `{from, to, apart, old, lines: [{series, colour, name}]}`: what is shown, and whether it is not of now any more. */
  view = { from: 0, to: 1, apart: false, old: false, lines: [] };

  /** `onCursor(ms | null)` is told when the crosshair moves. */
  constructor(canvas, onCursor) {
    this.#canvas = canvas;
    this.onCursor = onCursor;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerdown", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.moveTo(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.moveTo(null));
  }

  /** Draws once before the next frame, however often it is called. */
  draw() {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      this.#paint();
    });
  }

  /** Puts the crosshair at a moment, or takes it away. */
  moveTo(ms) {
    if (ms === this.cursor) return;
    this.cursor = ms;
    this.onCursor(ms);
    this.draw();
  }

  /** Where a moment is, in CSS pixels from the left. */
  x(ms) {
    const { from, to } = this.view;
    return this.#left + ((ms - from) / (to - from)) * (this.#canvas.clientWidth - this.#left - MARGIN.right);
  }

  #point(event) {
    const { from, to } = this.view;
    const width = this.#canvas.clientWidth - this.#left - MARGIN.right;
    const ms = from + ((event.offsetX - this.#left) / width) * (to - from);
    this.moveTo(this.#snapped(Math.min(to, Math.max(from, ms))));
  }

  /** The nearest moment that has a point in any series. */
  #snapped(ms) {
    const near = this.view.lines.map(({ series }) => series.near(ms)?.ms).filter((at) => this.#shows(at));
    return near.length ? near.reduce((best, at) => (Math.abs(at - ms) < Math.abs(best - ms) ? at : best)) : null;
  }

  #shows(ms) {
    return ms !== undefined && ms >= this.view.from && ms <= this.view.to;
  }

  #key(event) {
    const { from, to } = this.view;
    const page = (to - from) / 10;
    const moves = {
      ArrowLeft: () => this.#beside(-1),
      ArrowRight: () => this.#beside(1),
      PageUp: () => this.#snapped(Math.max(from, (this.cursor ?? to) - page)),
      PageDown: () => this.#snapped(Math.min(to, (this.cursor ?? to) + page)),
      Home: () => this.#snapped(from) ?? this.#edge(1),
      End: () => this.#snapped(to) ?? this.#edge(-1),
      Escape: () => null,
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.moveTo(moves[event.key]());
  }

  #beside(way) {
    if (this.cursor === null) return this.#edge(-1);
    const found = this.view.lines.map(({ series }) => series.beside(this.cursor, way)).filter((at) => this.#shows(at));
    if (!found.length) return this.cursor;
    return way < 0 ? Math.max(...found) : Math.min(...found);
  }

  /** The first (1) or last (-1) moment that is shown. */
  #edge(way) {
    const all = this.view.lines.map(({ series }) => {
      const shown = ({ ms }) => this.#shows(ms);
      return (way < 0 ? series.points.findLast(shown) : series.points.find(shown))?.ms;
    }).filter((at) => at !== undefined);
    if (!all.length) return null;
    return way < 0 ? Math.max(...all) : Math.min(...all);
  }

  #paint() {
    const canvas = this.#canvas;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.view.lines.length) return;
    const style = getComputedStyle(canvas);
    this.#colours = { grid: style.getPropertyValue("--grid"), text: style.getPropertyValue("--quiet"),
      ink: style.getPropertyValue("--ink"), paper: style.getPropertyValue("--paper") };
    pen.font = `12px ${style.fontFamily}`;
    this.#arrange(pen, height);
    this.#times(pen, width, height);
    for (const panel of this.#panels) this.#panel(pen, panel, width, style);
    if (this.cursor !== null) this.#crosshair(pen, height, style);
  }

  /** Panels: one for all lines, or one each. */
  #arrange(pen, height) {
    const { apart, lines } = this.view;
    const groups = apart && lines.length > 1 ? lines.map((line) => [line]) : [lines];
    const room = (height - MARGIN.top - MARGIN.bottom - PANEL_GAP * (groups.length - 1)) / groups.length;
    this.#panels = groups.map((group, n) => {
      const top = MARGIN.top + n * (room + PANEL_GAP);
      return { lines: group, top, bottom: top + room, ...this.#scale(group, room) };
    });
    const widths = this.#panels.flatMap(({ marks }) => marks.at.map((at) => pen.measureText(marks.text(at)).width));
    this.#left = Math.ceil(Math.max(28, ...widths)) + 12;
  }

  /** The values that a panel spans, rounded out, so that it stands still while it can. */
  #scale(lines, room) {
    let [low, high] = [Infinity, -Infinity];
    for (const { series } of lines) {
      for (const point of series.points) {
        if (point.value === null || !this.#shows(point.ms)) continue;
        low = Math.min(low, point.low);
        high = Math.max(high, point.high);
      }
    }
    if (low > high) return { low: 0, high: 1, marks: { at: [], text: String } };
    if (low === high) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 10, high + Math.abs(high) / 10];
    // Near to 0 the axis begins there: a share is seen as one.
    if (low > 0 && low < high * 0.4) low = 0;
    if (high < 0 && high > low * 0.4) high = 0;
    const wanted = Math.max(3, Math.min(6, room / 44));
    const grain = valueMarks(low, high, wanted).step / 4;
    low = Math.floor(low / grain + 1e-9) * grain;
    high = Math.ceil(high / grain - 1e-9) * grain;
    return { low, high, marks: valueMarks(low, high, wanted) };
  }

  #times(pen, width, height) {
    const { from, to } = this.view;
    pen.textBaseline = "alphabetic";
    pen.textAlign = "center";
    for (const { at, text, day } of timeMarks(from, to, (width - this.#left) / 72)) {
      const x = Math.round(this.x(at)) + 0.5;
      pen.fillStyle = this.#colours.grid;
      pen.fillRect(x - 0.5, MARGIN.top, 1, height - MARGIN.top - MARGIN.bottom + (day ? 4 : 0));
      const half = pen.measureText(text).width / 2;
      if (x - half < 0 || x + half > width) continue;
      pen.fillStyle = day ? this.#colours.ink : this.#colours.text;
      pen.fillText(text, x, height - 8);
    }
  }

  #panel(pen, panel, width, style) {
    const { low, high, top, bottom, marks } = panel;
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    panel.y = y;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const at of marks.at) {
      pen.fillStyle = this.#colours.grid;
      pen.fillRect(this.#left, Math.round(y(at)), width - this.#left - MARGIN.right, 1);
      pen.fillStyle = this.#colours.text;
      pen.fillText(marks.text(at), this.#left - 8, y(at));
    }
    pen.save();
    pen.beginPath();
    pen.rect(this.#left, top - 3, width - this.#left - MARGIN.right + 3, bottom - top + 6);
    pen.clip();
    for (const line of panel.lines) this.#line(pen, line, y, style.getPropertyValue(line.colour));
    pen.restore();
    if (this.#panels.length > 1) this.#name(pen, panel, width, style);
  }

  /** The name of a panel's only line, on paper, so that it can be read over the line. */
  #name(pen, { lines: [line], top }, width, style) {
    const name = fitted(pen, line.name, width - this.#left - MARGIN.right - 16);
    pen.textAlign = "left";
    pen.textBaseline = "top";
    pen.strokeStyle = this.#colours.paper;
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeText(name, this.#left + 8, top + 3);
    pen.fillStyle = style.getPropertyValue(line.colour);
    pen.fillText(name, this.#left + 8, top + 3);
  }

  /** A line with its band from lowest to highest; a gap stays a gap, and what is too short for a line is a dot. */
  #line(pen, { series }, y, colour) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    if (this.view.old) pen.setLineDash([4, 4]);
    for (const run of this.#runs(series)) {
      if (run.some((point) => point.low < point.high)) {
        pen.globalAlpha = 0.3;
        pen.beginPath();
        run.forEach((point) => pen.lineTo(this.x(point.ms), y(point.high)));
        run.toReversed().forEach((point) => pen.lineTo(this.x(point.ms), y(point.low)));
        pen.fill();
        pen.globalAlpha = 1;
      }
      pen.beginPath();
      run.forEach((point) => pen.lineTo(this.x(point.ms), y(point.value)));
      pen.stroke();
      const last = run.at(-1);
      if (this.x(last.ms) - this.x(run[0].ms) > 4) continue;
      pen.beginPath();
      pen.arc(this.x(last.ms), y(last.value), 2.25, 0, 7);
      pen.fill();
    }
  }

  /** Points without a gap between them, with one more at each side of what is shown. */
  #runs({ points, gapMs }) {
    const { from, to } = this.view;
    const runs = [];
    let run = [];
    for (const [n, point] of points.entries()) {
      if ((points[n + 1]?.ms ?? Infinity) < from) continue;
      if (point.value === null || (run.length && point.ms - run.at(-1).ms > gapMs)) {
        runs.push(run);
        run = [];
      }
      if (point.value !== null) run.push(point);
      if (point.ms > to) break;
    }
    return [...runs, run].filter((run) => run.length);
  }

  #crosshair(pen, height, style) {
    const x = Math.round(this.x(this.cursor));
    pen.fillStyle = this.#colours.text;
    pen.fillRect(x, MARGIN.top, 1, height - MARGIN.top - MARGIN.bottom);
    for (const { lines, y } of this.#panels) {
      for (const { series, colour } of lines) {
        const point = series.near(this.cursor);
        if (!point || point.value === null || !this.#shows(point.ms)) continue;
        pen.beginPath();
        pen.arc(this.x(point.ms), y(point.value), 4, 0, 7);
        pen.fillStyle = style.getPropertyValue(colour);
        pen.strokeStyle = this.#colours.paper;
        pen.lineWidth = 2;
        pen.fill();
        pen.stroke();
      }
    }
  }
}

/** Text that is not wider: of a long one the middle is left out, since names differ at their ends. */
function fitted(pen, text, width) {
  let shown = text;
  for (let keep = text.length; pen.measureText(shown).width > width && keep > 2; keep -= 2) {
    shown = `${text.slice(0, keep / 2)}…${text.slice(-keep / 2)}`;
  }
  return shown;
}
