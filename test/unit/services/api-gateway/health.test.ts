import { describe, expect, jest, test } from "@jest/globals";
import Fastify from "fastify";
import { serveHealth, type Check, type Status } from "../../../../services/api-gateway/health.ts";

const says =
  (status: Status): Check =>
  () =>
    Promise.resolve(status);
async function ask(path: string, checks: Record<string, Check>): Promise<[number, unknown]> {
  const server = Fastify();
  serveHealth(server, checks);
  const answer = await server.inject(path);
  return [answer.statusCode, answer.json()];
}

describe("GET /health/live", () => {
  test("says that the process answers, whatever else is away", async () => {
    const fail = () => Promise.reject(new Error("away"));
    expect(await ask("/health/live", { database: fail })).toEqual([200, { status: "ok", checks: {} }]);
  });
});

describe("GET /health/ready", () => {
  test.each<[Status, Status, Status, number]>([
    ["ok", "ok", "ok", 200],
    ["ok", "degraded", "degraded", 200],
    ["degraded", "ok", "degraded", 200],
    ["ok", "down", "down", 503],
    ["degraded", "down", "down", 503],
    ["down", "degraded", "down", 503],
  ])("database %s, kafka %s: %s", async (database, kafka, status, code) => {
    const answer = await ask("/health/ready", { database: says(database), kafka: says(kafka) });
    expect(answer).toEqual([code, { status, checks: { database, kafka } }]);
  });

  test("a check that fails is down, and its reason is not told", async () => {
    const fail = () => Promise.reject(new Error("connect ECONNREFUSED db.internal:5432"));
    const answer = await ask("/health/ready", { database: fail });
    expect(answer).toEqual([503, { status: "down", checks: { database: "down" } }]);
  });

  test("the checks are asked at once and not one after the other", async () => {
    const both = Promise.withResolvers<Status>();
    let asked = 0;
    const check = (): Promise<Status> => {
      if (++asked === 2) both.resolve("ok");
      return both.promise;
    };
    expect((await ask("/health/ready", { database: check, kafka: check }))[0]).toBe(200);
  });

  test("they are asked once a second, however many want to know", async () => {
    const now = jest.spyOn(performance, "now").mockReturnValue(10_000);
    try {
      const states: Status[] = ["down", "ok"];
      const server = Fastify();
      serveHealth(server, { database: () => Promise.resolve(states.shift() ?? "degraded") });
      const statuses = async () => {
        const answers = await Promise.all(Array.from({ length: 5 }, () => server.inject("/health/ready")));
        return answers.map(({ statusCode }) => statusCode);
      };
      expect(await statuses()).toEqual([503, 503, 503, 503, 503]);
      now.mockReturnValue(11_001);
      expect(await statuses()).toEqual([200, 200, 200, 200, 200]);
    } finally {
      now.mockRestore();
    }
  });
});
