import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { said, setCookiesOf, signUp } from "../contract/accounts.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const refresh = (token: string) =>
  service.client().post("/api/v1/tokens/refresh/", undefined, { headers: { cookie: `refresh_token=${token}` } });
const times = <T>(n: number, make: () => Promise<T>) => Promise.all(Array.from({ length: n }, make));

describe("16 refreshes with one token at once", () => {
  test("all get the same successor, in one family, which lives on", async () => {
    const { id, client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    const answers = await times(16, () => refresh(token));
    expect(answers.map(said)).toEqual(Array.from({ length: 16 }, () => [200, {}]));
    const successors = answers.map(
      (answer) => setCookiesOf(answer).find(({ name }) => name === "refresh_token")?.value,
    );
    expect(new Set(successors).size).toBe(1);
    expect(successors[0]).not.toBe(token);
    const sessions = await service.query("select ended_at from sessions where user_id = $1", [id]);
    expect(sessions).toEqual([{ ended_at: null }]);
    expect((await refresh(successors[0] ?? "")).status).toBe(200);
  });

  test("with a token whose successor was used: none gets a pair, and the family is over", async () => {
    const { client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    await client.post("/api/v1/tokens/refresh/");
    await client.post("/api/v1/tokens/refresh/");
    const answers = await times(16, () => refresh(token));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 401));
    expect((await client.get("/api/v1/users/current/")).status).toBe(401);
  });

  test("while the owner signs out: whoever comes later gets nothing, and nothing that was given still works", async () => {
    const { client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    const [answers] = await Promise.all([times(16, () => refresh(token)), client.post("/api/v1/tokens/clear/")]);
    const given = answers.flatMap(setCookiesOf).filter(({ name, value }) => name === "access_token" && value !== "");
    for (const { value } of given) {
      const answer = await service
        .client()
        .get("/api/v1/users/current/", { headers: { authorization: `Bearer ${value}` } });
      expect(answer.status).toBe(401);
    }
    expect((await refresh(token)).status).toBe(401);
  });
});
