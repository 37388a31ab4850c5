import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import sharp from "sharp";
import { eventually } from "../support/eventually.ts";
import { password, registration } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { createStand, type TestStand } from "../support/service.ts";

const groups = ["api-gateway,grpc-gateway", "auth,mailer,events", "users"] as const;
type Group = (typeof groups)[number];

describe("three processes over TCP, without a broker", () => {
  let stand: TestStand;
  let roles: RolesClient;
  let ports: number[];
  const processes = new Map<Group, ServiceProcess>();

  const start = async (group: Group): Promise<void> => {
    const running = startProcess({
      ...stand.env,
      SERVICES: group,
      TRANSPORTER: `tcp://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`,
      TRANSPORTER_TCP_PORT: String(ports[groups.indexOf(group)]),
    });
    processes.set(group, running);
    await running.ready();
  };

  beforeAll(async () => {
    stand = await createStand();
    roles = rolesClient(stand.grpcAddress);
    ports = [await freePort(), await freePort(), await freePort()];
    await Promise.all(groups.map(start));
  }, 60_000);
  afterAll(async () => {
    roles.close();
    await Promise.all([...processes.values()].map((running) => running.stop()));
    await stand.stop();
  }, 60_000);

  const signedUp = () =>
    eventually(
      "somebody is registered and read back",
      async () => {
        const client = stand.client();
        const body = registration();
        const answer = await client.post("/api/v1/users/customers/", body);
        const id = Number(answer.json()["id"]);
        if (answer.status !== 201 || (await client.get("/api/v1/users/current/")).status !== 200) return undefined;
        await stand.query("update users set is_email_verified = true where id = $1", [id]);
        return { client, id, email: body.email };
      },
      30_000,
    );

  test("the whole story: sign in, a picture, a role, and the end of the session is known at once", async () => {
    const { email, id } = await signedUp();
    const client = stand.client();
    expect((await client.post("/api/v1/tokens/", { email, password })).status).toBe(200);

    const noise = await sharp({ create: { width: 900, height: 900, channels: 3, background: "#a00" } })
      .jpeg()
      .toBuffer();
    const file = Buffer.concat([noise, Buffer.alloc(4 * 1024 * 1024, 0xff)]);
    const picture = await client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm(file) });
    expect([picture.status, picture.text]).toEqual([200, expect.stringContaining("/media/avatars/")]);

    const token = client.cookie("access_token") ?? "";
    const role = { user_id: String(id), role: "USER_ROLE_CUSTOMER" };
    await eventually("its role", async () => ("role" in (await roles.getUserRole(token)) ? true : undefined));
    expect(await roles.getUserRole(token)).toEqual(role);
    expect((await client.post("/api/v1/tokens/clear/")).status).toBe(200);
    // Sooner than the poll that finds what a lost broadcast would have told.
    const ended = { code: status.UNAUTHENTICATED, details: "Session has ended" };
    await eventually(
      "the session has ended",
      async () => (JSON.stringify(await roles.getUserRole(token)) === JSON.stringify(ended) ? true : undefined),
      1000,
    );
  });

  test("eight pictures at once: each is taken, or told to come again", async () => {
    const { client } = await signedUp();
    const picture = await sharp({ create: { width: 90, height: 90, channels: 3, background: "#0a0" } })
      .jpeg()
      .toBuffer();
    const file = Buffer.concat([picture, Buffer.alloc(4 * 1024 * 1024, 0xff)]);
    const upload = () => client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm(file) });
    const answers = await Promise.all(Array.from({ length: 8 }, upload));
    const statuses = answers.map((answer) => answer.status);
    expect(statuses.filter((code) => code !== 200 && code !== 503)).toEqual([]);
    expect(statuses).toContain(200);
    // The nodes have not lost each other over it.
    expect((await client.get("/api/v1/users/current/")).status).toBe(200);
  });

  test("a node that is killed and started again: calls fail at once, and it is found again", async () => {
    const { client } = await signedUp();
    await processes.get("auth,mailer,events")?.kill();
    try {
      const answer = await eventually("it is missed", async () => {
        const began = performance.now();
        const tried = await stand.client().post("/api/v1/tokens/", { email: "nobody@example.com", password });
        return performance.now() - began < 500 ? tried : undefined;
      });
      expect([answer.status, answer.json()["code"]]).toEqual([503, "unavailable"]);
      expect((await client.get("/api/v1/users/current/")).status).toBe(200);
    } finally {
      await start("auth,mailer,events");
    }
    await signedUp();
  }, 60_000);
});
