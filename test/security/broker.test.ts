import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { randomBytes } from "node:crypto";
import { connect } from "nats";
import { patiently, signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { residentMegabytes } from "../support/memory.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { password } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { Intruder } from "./broker-intruder.ts";
import { formsOfJwt, formsOfText, formsOfToken } from "./secret-forms.ts";

const otherSecret = "the-secret-of-somebody-else-0123456789";
const users = `
  authorization { users = [
    { user: node, password: "node-password" }
    { user: guest, password: "guest-password", permissions: { publish: "guest.>", subscribe: "guest.>" } }
  ] }`;

describeWithNats(
  "SECURITY 71: the broker is not a way in, for somebody with the nodes' own credentials for NATS",
  () => {
    let nats: RunningNats;
    let stand: TestStand;
    let gateway: ServiceProcess;
    let backend: ServiceProcess;
    let moderator: Person;
    let victim: Person;
    /** Without the cluster's secret. */
    let intruder: Intruder;
    /** With it: shows that what the intruder says would be understood. */
    let member: Intruder;
    let node: string;

    beforeAll(async () => {
      nats = await startNats(users);
      stand = await createStand({
        NODE_ENV: "production",
        PASSWORD_HASH_COST: "10",
        KAFKA_BOOTSTRAP_SERVER_HOST: "kafka",
      });
      const TRANSPORTER = nats.url.replace("nats://", "nats://node:node-password@");
      gateway = startProcess({ ...stand.env, TRANSPORTER, SERVICES: "api-gateway" });
      backend = startProcess({ ...stand.env, TRANSPORTER, SERVICES: "auth,users" });
      await Promise.all([gateway.ready(), backend.ready()]);
      const as = (secret: string) => Intruder.connect(nats.url, "node", "node-password", secret);
      [intruder, member] = [await as(otherSecret), await as(stand.env["SECRET_KEY"] ?? "")];
      moderator = await eventually("the nodes have found each other", async () => {
        const person = await signUp(stand, "MO");
        return (await person.client.get("/api/v1/users/current/")).status === 200 ? person : undefined;
      });
      victim = await signUp(stand);
      node = await intruder.nodeOf("node-");
    }, 90_000);
    afterAll(async () => {
      await Promise.all([intruder.close(), member.close()]);
      await Promise.all([gateway.stop(), backend.stop()]);
      await stand.stop();
      await nats.stop();
    }, 60_000);

    const actor = () => ({
      principal: { userId: moderator.id, sessionId: "s", role: "MO", verified: true },
      call: "c",
      requestId: "r",
      ip: "192.0.2.9",
      userAgent: "",
    });
    const account = async (id: number) =>
      (await stand.query<Record<string, unknown>>("select role, is_active from users where id = $1", [id]))[0];
    const setActive = (id: number, is_active: boolean) =>
      patiently(() => moderator.client.request("PATCH", `/api/v1/users/${id}/`, { body: { is_active } }));

    test("71 a request with a forged moderator: not answered, and nothing changes; with the secret it would", async () => {
      const request = intruder.request("users.update", { id: victim.id, role: "RM" }, actor());
      const subject = Intruder.subjectOf("REQ", node);
      const plain = Buffer.from(JSON.stringify(intruder.payload(request)));
      const forgeries = [
        plain,
        intruder.sealed("REQ", node, request),
        // What a member has sealed, but as something else or for somebody else.
        member.sealed("RES", node, request),
        member.sealed("REQ", `${node}x`, request),
        member.sealed("REQ", "", request).fill(1, 1, 2),
        Buffer.concat([member.sealed("REQ", node, request).subarray(0, 28), plain]),
      ];
      for (const forgery of forgeries) intruder.say(subject, forgery);
      await intruder.flush();
      await member.ask(node, "users.health");
      expect(await account(victim.id)).toEqual({ role: "CU", is_active: true });
      const answered = intruder.heard.filter((heard) => heard.subject === Intruder.subjectOf("RES", intruder.nodeId));
      expect(answered).toEqual([]);
      expect(await member.ask(node, "users.update", { id: victim.id, role: "CO" }, actor())).toMatchObject({
        success: true,
      });
      expect(await account(victim.id)).toEqual({ role: "CO", is_active: true });
    });

    test("a node of his own that offers to sign people in: nobody is sent to it", async () => {
      const handler = { name: "auth.login", rawName: "login" };
      const services = [
        { name: "auth", fullName: "auth", settings: {}, actions: { "auth.login": handler }, events: {} },
      ];
      const info = {
        services,
        ipList: [],
        hostname: "h",
        client: {},
        config: {},
        instanceID: "i",
        metadata: {},
        seq: 1,
      };
      const payload = intruder.payload(info);
      for (const forged of [Buffer.from(JSON.stringify(payload)), intruder.sealed("INFO", "", info)]) {
        intruder.say("MOL-identity.INFO", forged);
        intruder.say("MOL-identity.HEARTBEAT", forged);
      }
      await intruder.flush();
      for (let n = 0; n < 6; n++) {
        const tried = await patiently(() =>
          stand.client().post("/api/v1/tokens/", { email: victim.email, password: "not this one" }),
        );
        expect(tried.status).toBe(401);
      }
      expect(intruder.heard.map(({ subject }) => subject)).not.toContain(Intruder.subjectOf("REQ", intruder.nodeId));
    });

    test("all that is said while somebody signs in shows neither password nor token nor address", async () => {
      const from = intruder.heard.length;
      const client = stand.client();
      const secret = "Canary-horse-battery-0123456789";
      const registered = await signUp(stand, "CU", { password: secret });
      const signedIn = await patiently(() =>
        client.post("/api/v1/tokens/", { email: registered.email, password: secret }),
      );
      expect(signedIn.status).toBe(200);
      expect((await client.get("/api/v1/users/current/")).status).toBe(200);
      await intruder.flush();
      const heard = intruder.heard.slice(from);
      expect(heard.filter(({ subject }) => subject.startsWith("MOL-identity.RE")).length).toBeGreaterThan(5);
      const all = heard.map(({ subject, data }) => `${subject} ${data.toString("latin1")}`).join("\n");
      const searched = {
        ...formsOfText(registered.email),
        ...Object.fromEntries(Object.entries(formsOfText(secret)).map(([form, text]) => [`password ${form}`, text])),
        ...formsOfJwt(client.cookie("access_token") ?? ""),
        ...formsOfToken(client.cookie("refresh_token") ?? ""),
        "an action": "auth.login",
        JSON: '"sender"',
      };
      expect(Object.entries(searched).filter(([, text]) => all.includes(text))).toEqual([]);
    });

    test("recorded packets, sent again: nothing happens a second time", async () => {
      const from = intruder.heard.length;
      expect((await setActive(victim.id, false)).status).toBe(200);
      expect(await account(victim.id)).toMatchObject({ is_active: false });
      await intruder.flush();
      const recorded = intruder.heard.slice(from);
      expect((await setActive(victim.id, true)).status).toBe(200);
      for (let round = 0; round < 3; round++) for (const { subject, data } of recorded) intruder.say(subject, data);
      await intruder.flush();
      await member.ask(node, "users.health");
      expect(await account(victim.id)).toMatchObject({ is_active: true });
    });

    test("garbage of every size, to every subject: memory is flat, one line in the log, and people sign in meanwhile", async () => {
      const subjects = [...new Set(intruder.heard.map(({ subject }) => subject))];
      const real = intruder.heard.slice(-50).map(({ data }) => data);
      const garbage = [0, 1, 2, 27, 28, 29, 43, 44, 45, 100, 1000, 65_536, 1_000_000].map((size) => randomBytes(size));
      const broken = real.flatMap((data) => [data.subarray(0, -1), data.subarray(1), Buffer.concat([data, data])]);
      const send = async (times: number) => {
        for (let n = 0; n < times; n++) {
          for (const subject of subjects) for (const data of [...garbage, ...broken]) intruder.say(subject, data);
          await intruder.flush();
          await member.ask(node, "users.health");
        }
      };
      await send(3);
      const before = await residentMegabytes(backend.pid);
      const signIn = patiently(() => stand.client().post("/api/v1/tokens/", { email: victim.email, password }));
      await send(15);
      expect((await signIn).status).toBe(200);
      expect((await residentMegabytes(backend.pid)) - before).toBeLessThan(60);
      const told = backend.logs().filter(({ msg }) => String(msg).includes("not of this cluster"));
      expect(told.length).toBeGreaterThan(0);
      expect(told.length).toBeLessThanOrEqual(1 + Math.ceil(performance.now() / 60_000));
      expect(backend.stdout()).not.toMatch(/Invalid incoming packet/);
    });

    test("71 a user of NATS without the right: can neither say nor hear anything", async () => {
      const guest = await connect({ servers: nats.url, user: "guest", pass: "guest-password" });
      const refusals: string[] = [];
      const heard: string[] = [];
      guest.subscribe(">", {
        callback: (error, { subject }) => (error ? refusals.push(error.message) : heard.push(subject)),
      });
      const marker = randomBytes(20);
      guest.publish(Intruder.subjectOf("REQ", node), marker);
      await guest.flush();
      expect((await stand.client().get(`/api/v1/users/${victim.id}/`)).status).toBe(200);
      await eventually("he is told", () => (refusals.length > 0 ? true : undefined));
      await intruder.flush();
      expect([refusals.join(), heard]).toEqual([expect.stringMatching(/Permissions Violation/i), []]);
      expect(intruder.heard.filter(({ data }) => data.equals(marker))).toEqual([]);
      await guest.close();
    });

    test("what the framework offers of its own accord: not even for a member, and not over HTTP", async () => {
      for (const action of ["$node.services", "$node.options", "$node.list", "$node.health"]) {
        expect(await member.ask(node, action)).toMatchObject({ success: false, error: { type: "SERVICE_NOT_FOUND" } });
      }
      for (const path of ["/~node/services", "/$node/services", "/api/v1/$node/services/", "/api/~node/options"]) {
        expect([path, (await stand.client().get(path)).status]).toEqual([path, 404]);
      }
    });
  },
);
