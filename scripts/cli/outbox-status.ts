import type { ParkedChange, RelayState } from "../../services/events/outbox-operations.repository.ts";

/** What `outbox status --json` prints. */
export interface OutboxStatus extends RelayState {
  readonly unpublished: number;
  /** For how long the oldest change waits that nothing holds. */
  readonly oldest_seconds: number;
  readonly parked: number;
  /** Behind parked ones of the same user. */
  readonly held: number;
  /** The parked ones, oldest first; at most a hundred. */
  readonly changes: readonly ParkedChange[];
}

/** The same for people. */
export function describeStatus(status: OutboxStatus, retentionDays: string): string {
  const { unpublished, parked, held, changes } = status;
  const facts: [string, string | number][] = [
    ["relay", status.leader ? "runs" : "runs on no node that reaches this database"],
    ["last published", status.last_published_at?.toISOString() ?? `nothing in the last ${retentionDays} days`],
    ["unpublished", unpublished],
    ["oldest that may go", `${status.oldest_seconds.toFixed(1)} s`],
    ["parked", parked],
    ["held behind them", held],
    ["skipped", `${status.skipped} in the last ${retentionDays} days`],
    ...(status.replaying ? [["replay", "under way"] satisfies [string, string]] : []),
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  const parkedLines = changes.flatMap(
    ({ id, user_id: user, type, version, attempts, reason, parked_at: at, holds }) => [
      "",
      `${id}  user ${user}, ${type}, version ${version}`,
      `  parked ${at.toISOString()} after ${attempts} attempts, holds ${holds} later`,
      `  ${reason}`,
    ],
  );
  const more = parked > changes.length ? ["", `... and ${parked - changes.length} more`] : [];
  return [...lines, ...parkedLines, ...more].join("\n");
}
