import { ServiceBroker, type ServiceSchema } from "moleculer";
import { implement } from "../../lib/actions.ts";
import { systemClock } from "../../lib/clock.ts";
import { loadConfig } from "../../lib/config.ts";
import { contract } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import { eventIdRule } from "../../lib/event-action.ts";
import { silentLog, type Log } from "../../lib/log.ts";
import { onceForEvent } from "../../mixins/accounts/inbox.repository.ts";
import { createMetrics } from "../../mixins/metrics/metrics.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import brokerOptions from "../../moleculer.config.ts";
import eventsService from "../../services/events/events.service.ts";
import type { Listener } from "../../services/events/listeners.ts";

/** Another service's event, and an action of ours that listens: as docs/reliability.md shows it. */
export const ledgerContract = contract("ledger", {
  note: {
    summary: "Writes an order down.",
    visibility: "public",
    auth: "internal",
    params: {
      event_id: eventIdRule,
      data: {
        type: "object",
        strict: "remove",
        props: {
          order: { type: "number", integer: true },
          /** What the action does: fail at every attempt, at the first two, or as if the database were away. */
          fails: { type: "enum", values: ["always", "twice", "while_away"], optional: true },
        },
      },
    },
    returns: { type: "boolean" },
  },
});

export interface Handled {
  readonly eventId: string;
  readonly order: number;
}
export interface ListeningNode {
  /** Every call, in their order. */
  readonly calls: readonly Handled[];
  /** Whether what `fails: "while_away"` needs is there. */
  away: boolean;
  health(): Promise<unknown>;
  /** What a scrape would show. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

/** For `effects`, where nothing stops a second row of one event. */
export const effectsTable = `create table effects (event_id text not null, orders integer not null);
  grant select, insert on effects to public`;

/** The service `events` with these listeners, and the action that it calls, in this process. */
export async function startListeningNode(
  env: Readonly<Record<string, string>>,
  listeners: readonly Listener[],
  log: Log = silentLog,
): Promise<ListeningNode> {
  const config = loadConfig({ ...env, SERVICES: "events" });
  const broker = new ServiceBroker(brokerOptions(config, silentLog));
  const node: Node = { config, broker, log, clock: systemClock, metrics: createMetrics(silentLog) };
  const calls: Handled[] = [];
  const state = { away: false };
  broker.createService(ledger(node, calls, state));
  broker.createService(eventsService(node, listeners));
  await broker.start();
  return Object.assign(state, {
    calls,
    health: () => broker.call("events.health", {}),
    metrics: () => node.metrics.text(),
    stop: () => broker.stop(),
  });
}

function ledger(node: Node, calls: Handled[], state: { readonly away: boolean }): ServiceSchema {
  const db = openServiceDatabase(node, "ledger", 4);
  return {
    name: "ledger",
    actions: implement(ledgerContract, {
      note: async ({ event_id: eventId, data: { order, fails } }) => {
        calls.push({ eventId, order });
        const tries = calls.filter((call) => call.eventId === eventId).length;
        return await db.transaction(async (tx) => {
          if (!(await onceForEvent(tx, "ledger.note", eventId))) return false;
          await tx.query("insert into effects (event_id, orders) values ($1, $2)", [eventId, order]);
          if (fails === "always" || (fails === "twice" && tries <= 2)) throw new TypeError(`no order ${order}`);
          if (fails === "while_away" && state.away) throw new ServiceError("unavailable");
          return true;
        });
      },
    }),
    stopped: () => db.close(),
  };
}
