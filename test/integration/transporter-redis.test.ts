import { afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { startProcess } from "../support/process.ts";
import { describeWithRedis, startRedis } from "../support/redis.ts";
import { certificateFiles, createTwoNodes, losesItsBroker, type TwoNodes } from "../support/two-nodes.ts";

let on: TwoNodes;
let files: Awaited<ReturnType<typeof certificateFiles>>;
beforeAll(async () => {
  files = await certificateFiles();
});
beforeEach(async () => {
  on = await createTwoNodes();
});
afterEach(() => on.stop(), 60_000);

describeWithRedis("Redis, with a password and TLS", () => {
  const startIt = async () => {
    const port = await freePort();
    const tls = ["--tls-port", port, "--tls-cert-file", files.cert, "--tls-key-file", files.key];
    const own = ["--tls-ca-cert-file", files.ca, "--requirepass", "broker-password"];
    const redis = await startRedis(...tls.map(String), ...own);
    on.atTheEnd(() => redis.stop());
    return port;
  };
  const env = (port: number, password = "broker-password") => ({
    TRANSPORTER: `rediss://:${password}@127.0.0.1:${port}`,
    TRANSPORTER_TLS_CA: files.ca,
    TRANSPORTER_TLS_CERT: files.cert,
    TRANSPORTER_TLS_KEY: files.key,
  });

  test("silent: calls fail at once, readiness says so, and it recovers by itself", async () => {
    const proxy = await on.proxyTo(await startIt());
    await losesItsBroker(on, proxy, env(proxy.port), ["blackhole"]);
  }, 90_000);

  test("a wrong password is told, and not which", async () => {
    const wrong = env(await startIt(), "another-broker-password");
    const running = startProcess({ ...on.stand.env, ...wrong, SERVICES: "api-gateway" });
    on.atTheEnd(() => running.kill());
    await eventually("it is told", () =>
      /no connection to Redis.*WRONGPASS/.test(running.stdout()) ? true : undefined,
    );
    expect(running.stdout() + running.stderr()).not.toContain("broker-password");
  });
});
