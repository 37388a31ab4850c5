import { ServiceBroker, type BrokerOptions, type Context } from "moleculer";
import brokerOptions from "../../moleculer.config.ts";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { hasNats, startNats } from "../../test/support/nats-server.ts";
import { Skipped, type Row } from "../row.ts";
import { contest, middle, ratios, type Contestant } from "../support/contest.ts";
import { ratioFigures } from "../support/measure.ts";

const callers = 16;
/** As much as a sign-in and its answer. */
const params = { email: "anna@example.com", password: "correct horse battery", filler: "x".repeat(600) };

/**
 * A call to another node over NATS, sealed and not: what that costs in CPU time, the caller's and the callee's together. No goal:
 * a call that does nothing is nobody's, and the difference is to be held against what a real one costs.
 */
export const sealedCall: Row = async (log) => {
  if (!hasNats()) throw new Skipped("there is no nats-server (apt-get install nats-server)");
  const nats = await startNats();
  const [plain, sealed] = [await startPair(nats.url, "plain"), await startPair(nats.url, "sealed")];
  try {
    const rounds = await contest({ sealed, plain }, log);
    return [
      ...ratioFigures("CPU time per call, sealed / not", ratios(rounds, "cpu", "sealed", "plain"), {}),
      { name: "CPU time per call, sealed", value: middle(rounds, "cpu", "sealed"), unit: "µs" },
      { name: "CPU time per call, not sealed", value: middle(rounds, "cpu", "plain"), unit: "µs" },
    ];
  } finally {
    await plain.stop();
    await sealed.stop();
    await nats.stop();
  }
};

/** A caller and a callee, both in this process. */
async function startPair(
  TRANSPORTER: string,
  namespace: "plain" | "sealed",
): Promise<Contestant & { stop(): Promise<void> }> {
  const env = { NODE_ENV: "test", SECRET_KEY: "a-secret-key-for-the-bench-0123456789" };
  const config = loadConfig({ ...env, SERVICES: "api-gateway", TRANSPORTER });
  const options = (): BrokerOptions => {
    const { middlewares = [], ...others } = brokerOptions(config, silentLog);
    // The last one seals.
    return { ...others, namespace, middlewares: namespace === "sealed" ? middlewares : middlewares.slice(0, -1) };
  };
  const [caller, callee] = [new ServiceBroker(options()), new ServiceBroker(options())];
  callee.createService({
    name: "echo",
    actions: { echo: { visibility: "public", auth: "none", handler: (ctx: Context) => ctx.params } },
  });
  await Promise.all([caller.start(), callee.start()]);
  await caller.waitForServices("echo");
  return {
    turn: async (seconds) => {
      const [begun, cpu, times] = [performance.now(), process.cpuUsage(), [] as number[]];
      const call = async (): Promise<void> => {
        for (let at = performance.now(); at - begun < seconds * 1000; at = performance.now()) {
          await caller.call("echo.echo", params);
          times.push(performance.now() - at);
        }
      };
      await Promise.all(Array.from({ length: callers }, call));
      const { user, system } = process.cpuUsage(cpu);
      return { cpu: (user + system) / 1000, seconds: (performance.now() - begun) / 1000, times };
    },
    stop: async () => {
      await caller.stop();
      await callee.stop();
    },
  };
}
