import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Metrics } from "./metrics.ts";

/** Memory, CPU time and how late the event loop is. @returns what ends the measuring */
export function measureProcess(metrics: Metrics): () => void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  metrics.gauges(
    {
      identity_process_resident_memory_bytes: "Memory of the process.",
      identity_process_heap_used_bytes: "Memory in JavaScript's heap.",
      identity_process_cpu_seconds_total: "CPU time of the process, all threads.",
      identity_event_loop_delay_p99_seconds: "How late the event loop was since the last scrape, 99th percentile.",
      identity_event_loop_delay_max_seconds: "The same, longest.",
    },
    () => {
      const { rss, heapUsed } = process.memoryUsage();
      const { user, system } = process.cpuUsage();
      // Nothing was measured yet right after a reset: then both are 0, and not the largest number there is.
      const [p99, max] = delay.count === 0 ? [0, 0] : [delay.percentile(99), delay.max];
      delay.reset();
      return {
        identity_process_resident_memory_bytes: rss,
        identity_process_heap_used_bytes: heapUsed,
        identity_process_cpu_seconds_total: (user + system) / 1e6,
        identity_event_loop_delay_p99_seconds: p99 / 1e9,
        identity_event_loop_delay_max_seconds: max / 1e9,
      };
    },
  );
  return () => void delay.disable();
}
