// One series of the chart: its points from the store, and those that came since.

/** Points that came since the last look at the store; past it the oldest half goes. */
const TAIL_MAX = 20_000;

export class Series {
  /** Points `{ms, value, low, high}` in the order of time; value is null where it is no number. */
  points = [];
  /** A point from which on they are as they came, each for itself. */
  #tail = 0;
  /** Without a point for so long, it is a gap. */
  gapMs = Infinity;
  loaded = false;
  /** Why its past could not be had. */
  trouble = null;

  constructor(key) {
    this.key = key;
  }

  get last() {
    return this.points.at(-1) ?? null;
  }

  /**
   * Takes the past: `coarse` until `edge`, which lows and highs go with, and `fine` from there on, as `[[ms, value], ...]`.
   * What came live and is newer stays behind it.
   */
  load({ coarse = [], lows = [], highs = [], edge = -Infinity, fine, stepMs = 0 }) {
    const point = ([ms, value], low = value, high = value) => ({ ms, value, low, high });
    const merged = coarse.map((mean, n) => point(mean, lows[n]?.[1], highs[n]?.[1])).filter(({ ms }) => ms <= edge);
    const came = this.points.slice(this.#tail);
    this.points = [...merged, ...fine.map((one) => point(one))];
    this.#tail = merged.length;
    const newest = this.last?.ms ?? -Infinity;
    this.points.push(...came.filter((point) => point.ms > newest));
    this.loaded = true;
    this.trouble = null;
    this.#measure(stepMs);
  }

  /** Takes an event; one of the same time is replaced. */
  take(ms, value) {
    const point = { ms, value, low: value, high: value };
    let place = this.points.length;
    while (place > this.#tail && this.points[place - 1].ms > ms) place -= 1;
    // What is older than the past that was read is in the store.
    if (place === this.#tail && this.points[place - 1]?.ms > ms) return;
    const again = place > this.#tail && this.points[place - 1].ms === ms;
    this.points.splice(again ? place - 1 : place, again ? 1 : 0, point);
    if (this.points.length - this.#tail > TAIL_MAX) this.points.splice(this.#tail, TAIL_MAX / 2);
    if (this.points.length - this.#tail < 20) this.#measure(this.stepMs);
  }

  /** Lets go what is older. */
  trim(from) {
    const keep = this.points.findIndex((point) => point.ms >= from);
    const gone = keep < 0 ? this.points.length : keep;
    this.points.splice(0, gone);
    this.#tail = Math.max(0, this.#tail - gone);
  }

  /** The point nearest to a moment, if it is not across a gap. */
  near(ms) {
    const after = this.#after(ms);
    const [left, right] = [this.points[after - 1], this.points[after]];
    const nearest = !left || (right && right.ms - ms < ms - left.ms) ? right : left;
    return nearest && Math.abs(nearest.ms - ms) <= Math.min(this.gapMs, 86_400_000) ? nearest : null;
  }

  /** The next moment with a point before (-1) or after (1) a moment. */
  beside(ms, way) {
    const place = this.#after(ms);
    if (way < 0) return this.points.slice(Math.max(0, place - 2), place).findLast((point) => point.ms < ms)?.ms;
    return this.points.slice(place, place + 2).find((point) => point.ms > ms)?.ms;
  }

  /** The first point that is later. */
  #after(ms) {
    let [low, high] = [0, this.points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.points[middle].ms <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What a gap is: two and a half times the usual distance of points. */
  #measure(stepMs) {
    this.stepMs = stepMs;
    const distances = [];
    for (let n = Math.max(1, this.points.length - 400); n < this.points.length; n += 1) {
      distances.push(this.points[n].ms - this.points[n - 1].ms);
    }
    distances.sort((a, b) => a - b);
    const usual = distances.length ? distances[distances.length >> 1] : Infinity;
    this.gapMs = 2.5 * Math.max(stepMs, usual, 1000);
  }
}
