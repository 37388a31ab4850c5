import { describe, expect, jest, test } from "@jest/globals";
import { silentLog } from "../../../../lib/log.ts";
import { createMetrics } from "../../../../mixins/metrics/metrics.ts";

describe("counter", () => {
  test("shows every combination of its labels from the start, and what was added", async () => {
    const metrics = createMetrics(silentLog);
    const calls = metrics.counter("calls_total", "Calls.", { route: ["GET /a", "GET /b"], status: ["2xx", "4xx"] });
    calls.add(1, "GET /a", "4xx");
    calls.add(2, "GET /a", "4xx");
    expect(await metrics.text()).toBe(`# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{route="GET /a",status="2xx"} 0
calls_total{route="GET /a",status="4xx"} 3
calls_total{route="GET /b",status="2xx"} 0
calls_total{route="GET /b",status="4xx"} 0
`);
  });

  test("a value that is not in the list counts as other, however many there are", async () => {
    const metrics = createMetrics(silentLog);
    const calls = metrics.counter<string>("calls_total", "Calls.", { route: ["GET /a"] });
    for (let user = 0; user < 1000; user++) calls.add(1, `GET /users/${user}@example.com`);
    const text = await metrics.text();
    expect(text).toContain('calls_total{route="other"} 1000\n');
    expect(text).not.toContain("@");
  });

  test("without labels: one number", async () => {
    const metrics = createMetrics(silentLog);
    metrics.counter("things_total", "Things.").add(1);
    expect(await metrics.text()).toMatch(/^things_total 1$/m);
  });

  test("quotes, backslashes and line ends of a label are escaped", async () => {
    const metrics = createMetrics(silentLog);
    metrics.counter("odd_total", "One\nline.", { name: ['a"b\\c\nd'] });
    const text = await metrics.text();
    expect(text).toContain('odd_total{name="a\\"b\\\\c\\nd"} 0');
    expect(text).toContain("# HELP odd_total One\\nline.\n");
  });

  test("a name that is taken is refused", () => {
    const metrics = createMetrics(silentLog);
    metrics.counter("things_total", "Things.");
    expect(() => metrics.histogram("things_total", "Others.", {})).toThrow("things_total");
  });
});

describe("histogram", () => {
  test("counts up to each bound, with sum and count", async () => {
    const metrics = createMetrics(silentLog);
    const times = metrics.histogram("time_seconds", "Time.", { bounds: [0.1, 1], labels: { of: ["a"] } });
    for (const seconds of [0.05, 0.1, 0.5, 7]) times.observe(seconds, "a");
    expect(await metrics.text()).toBe(`# HELP time_seconds Time.
# TYPE time_seconds histogram
time_seconds_bucket{of="a",le="0.1"} 2
time_seconds_bucket{of="a",le="1"} 3
time_seconds_bucket{of="a",le="+Inf"} 4
time_seconds_sum{of="a"} 7.65
time_seconds_count{of="a"} 4
`);
  });
});

describe("gauges", () => {
  test("are read at each scrape, several with one question", async () => {
    const metrics = createMetrics(silentLog);
    let asked = 0;
    metrics.gauges({ waiting: "Waiting.", done_total: "Done." }, () => ({ waiting: ++asked, done_total: 7 }));
    await metrics.text();
    expect(await metrics.text()).toBe(`# HELP waiting Waiting.
# TYPE waiting gauge
waiting 2
# HELP done_total Done.
# TYPE done_total counter
done_total 7
`);
  });

  test("what cannot be read is left out, and everything else is there", async () => {
    const metrics = createMetrics(silentLog);
    metrics.gauges({ broken: "Broken." }, () => Promise.reject(new Error("the database is away")));
    metrics.gauges({ whole: "Whole." }, () => ({ whole: 1 }));
    expect(await metrics.text()).toBe("# HELP whole Whole.\n# TYPE whole gauge\nwhole 1\n");
  });

  test("what never answers is given up after two seconds", async () => {
    jest.useFakeTimers();
    try {
      const metrics = createMetrics(silentLog);
      metrics.gauges({ hanging: "Hanging." }, () => new Promise<never>(() => undefined));
      const text = metrics.text();
      await jest.advanceTimersByTimeAsync(2000);
      expect(await text).toBe("\n");
    } finally {
      jest.useRealTimers();
    }
  });
});
