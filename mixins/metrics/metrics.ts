import type { Log } from "../../lib/log.ts";

/**
 * The numbers of one node, for Prometheus. Names: `identity_<what>_<unit>`, `_total` for what only grows; times in seconds.
 * Every label has a closed list of values, all of them shown from the start, so that nobody's address, id or path can
 * become one; whatever is not in the list counts as "other".
 */
export interface Metrics {
  /** Only grows. */
  counter<const V extends string>(name: string, help: string, labels?: LabelValues<V>): Counter<V>;
  /** How many were at most as large as each of `bounds` (rising, in seconds). */
  histogram<const V extends string>(name: string, help: string, options: HistogramOptions<V>): Histogram<V>;
  /**
   * What can only be known by asking, several with one question: asked at each scrape, for at most two seconds. What
   * cannot be read then is left out.
   * @param helps name -> help; names that end in `_total` are shown as counters
   */
  gauges<const N extends string>(
    helps: Readonly<Record<N, string>>,
    read: () => Answers<N> | Promise<Answers<N>>,
  ): void;
  /** All of it in text format 0.0.4. */
  text(): Promise<string>;
}
type Answers<N extends string> = Readonly<Record<N, number>>;
/** Label -> every value that it can have. */
export type LabelValues<V extends string> = Readonly<Record<string, readonly V[]>>;
export interface HistogramOptions<V extends string> {
  readonly bounds?: readonly number[];
  readonly labels?: LabelValues<V>;
}
export interface Counter<V extends string = never> {
  /** @param values one for each label, in the order of the definition */
  add(by: number, ...values: V[]): void;
}
export interface Histogram<V extends string = never> {
  observe(seconds: number, ...values: V[]): void;
}

const readLimitMs = 2000;
/** From what memory answers to what waits for a disk, a network, a back-off. */
const defaultBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The broker has metrics of its own: docs/adr/0011-own-metrics.md says why they are not used. */
export function createMetrics(log: Log): Metrics {
  const families = new Map<string, () => Promise<readonly string[]>>();

  function define(name: string, lines: () => Promise<readonly string[]>): void {
    if (families.has(name)) throw new Error(`two metrics are called ${name}`);
    families.set(name, lines);
  }

  return {
    counter(name, help, labels = {}) {
      const series = new SeriesSet(labels, () => ({ value: 0 }));
      const head = header(name, help, "counter");
      define(name, () => Promise.resolve([...head, ...series.lines((shown, { value }) => [line(name, shown, value)])]));
      return { add: (by, ...values) => void (series.of(values).value += by) };
    },

    histogram(name, help, { bounds = defaultBounds, labels = {} }) {
      const series = new SeriesSet(labels, () => ({ counts: bounds.map(() => 0), count: 0, sum: 0 }));
      const head = header(name, help, "histogram");
      const show = (shown: string, { counts, count, sum }: { counts: number[]; count: number; sum: number }) => {
        let below = 0;
        const buckets = bounds.map((bound, index) => {
          below += counts[index] ?? 0;
          return line(`${name}_bucket`, joined(shown, `le="${bound}"`), below);
        });
        const all = line(`${name}_bucket`, joined(shown, 'le="+Inf"'), count);
        return [...buckets, all, line(`${name}_sum`, shown, sum), line(`${name}_count`, shown, count)];
      };
      define(name, () => Promise.resolve([...head, ...series.lines(show)]));
      return {
        observe: (seconds, ...values) => {
          const one = series.of(values);
          one.count++;
          one.sum += seconds;
          const bucket = bounds.findIndex((bound) => seconds <= bound);
          if (bucket >= 0) one.counts[bucket] = (one.counts[bucket] ?? 0) + 1;
        },
      };
    },

    gauges(helps, read) {
      const names = Object.keys(helps) as (keyof typeof helps)[];
      define(names.join(), async () => {
        const answers = await withinLimit(read).catch((error: unknown) => {
          log.warn({ reason: String(error), metrics: names }, "metrics could not be read");
        });
        if (!answers) return [];
        return names.flatMap((name) => [
          ...header(name, helps[name], name.endsWith("_total") ? "counter" : "gauge"),
          line(name, "", answers[name]),
        ]);
      });
    },

    async text() {
      const all = await Promise.all([...families.values()].map((lines) => lines()));
      return `${all.flat().join("\n")}\n`;
    },
  };
}

/** One value for each combination of label values, made before it is needed: what is counted costs one look-up. */
class SeriesSet<T> {
  readonly #labels: readonly string[];
  readonly #series = new Map<string, { readonly shown: string; readonly value: T }>();
  readonly #fresh: () => T;

  constructor(labels: LabelValues<string>, fresh: () => T) {
    this.#labels = Object.keys(labels);
    this.#fresh = fresh;
    const combinations = Object.values(labels).reduce<readonly (readonly string[])[]>(
      (before, values) => before.flatMap((combination) => values.map((value) => [...combination, value])),
      [[]],
    );
    for (const combination of combinations) this.#add(combination);
  }

  #add(values: readonly string[]): T {
    const shown = this.#labels.map((label, index) => `${label}="${escaped(values[index] ?? "")}"`).join();
    const value = this.#fresh();
    this.#series.set(values.join("\n"), { shown, value });
    return value;
  }

  of(values: readonly string[]): T {
    const key = values.length === 1 ? (values[0] ?? "") : values.join("\n");
    return this.#series.get(key)?.value ?? this.#other();
  }

  #other(): T {
    const other = this.#labels.map(() => "other");
    return this.#series.get(other.join("\n"))?.value ?? this.#add(other);
  }

  lines(show: (shown: string, value: T) => readonly string[]): string[] {
    return [...this.#series.values()].flatMap(({ shown, value }) => show(shown, value));
  }
}

async function withinLimit<T>(read: () => T | Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${readLimitMs} ms`)), readLimitMs);
  try {
    return await Promise.race([read(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
const joined = (...labels: readonly string[]): string => labels.filter((label) => label !== "").join();
const line = (name: string, labels: string, value: number): string =>
  `${name}${labels === "" ? "" : `{${labels}}`} ${value}`;
const header = (name: string, help: string, type: string): string[] => [
  `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
  `# TYPE ${name} ${type}`,
];
