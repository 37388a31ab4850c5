import { afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { eventually } from "../support/eventually.ts";
import { describeWithNats, startNats } from "../support/nats.ts";
import { startProcess } from "../support/process.ts";
import { certificateFiles, createTwoNodes, losesItsBroker, type TwoNodes } from "../support/two-nodes.ts";
import { memoryLog } from "../unit/helpers.ts";

let on: TwoNodes;
let files: Awaited<ReturnType<typeof certificateFiles>>;
beforeAll(async () => {
  files = await certificateFiles();
});
beforeEach(async () => {
  on = await createTwoNodes();
});
afterEach(() => on.stop(), 60_000);

describeWithNats("NATS, with users and TLS", () => {
  const config = (password: string) => `
    authorization { user: identity, password: "${password}" }
    tls { cert_file: "${files.cert}", key_file: "${files.key}", ca_file: "${files.ca}", verify: true }`;
  const env = (port: number) => ({
    TRANSPORTER: `nats+tls://identity:broker-password@127.0.0.1:${port}`,
    TRANSPORTER_TLS_CA: files.ca,
    TRANSPORTER_TLS_CERT: files.cert,
    TRANSPORTER_TLS_KEY: files.key,
  });

  test("refused and silent: calls fail at once, readiness says so, and it recovers by itself", async () => {
    const nats = await startNats(config("broker-password"));
    on.atTheEnd(() => nats.stop());
    const proxy = await on.proxyTo(nats.port);
    await losesItsBroker(on, proxy, env(proxy.port), ["refuse", "blackhole"]);
  }, 90_000);

  test("credentials that are refused are told without them; once they are right, NATS is found", async () => {
    const nats = await startNats(config("another"));
    on.atTheEnd(() => nats.stop());
    const log = memoryLog();
    const starting = on.start("api-gateway", env(nats.port), log);
    await eventually("it is told", () => (/Connection is failed.*uthorization/.test(log.text()) ? true : undefined));
    expect(log.text()).not.toContain("broker-password");
    await nats.reload(config("broker-password"));
    await starting;
    await eventually("it is found", async () => ((await on.transporter()) === "ok" ? true : undefined));
  });

  test("a server of another authority is not believed", async () => {
    const nats = await startNats(config("broker-password"));
    on.atTheEnd(() => nats.stop());
    const other = { ...env(nats.port), TRANSPORTER_TLS_CA: (await certificateFiles()).ca };
    const running = startProcess({ ...on.stand.env, ...other, SERVICES: "api-gateway" });
    on.atTheEnd(() => running.kill());
    await eventually("it is told", () =>
      /Connection is failed.*certificate/.test(running.stdout()) ? true : undefined,
    );
  });
});
