import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { password, registration } from "../support/people.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

describe("the story", () => {
  test.each([
    ["customers", "CU"],
    ["couriers", "CO"],
    ["managers", "RM"],
  ])("%s: register, verify, sign in, refresh, sign out", async (path, role) => {
    const client = service.client();
    const body = registration();
    const registered = await client.post(`/api/v1/users/${path}/`, body);
    expect(registered.status).toBe(201);
    expect(registered.json()).toMatchObject({ email: body.email, role, is_email_verified: false });

    const mail = await service.mailTo(body.email);
    const verified = await client.get(linkIn(mail), { headers: { accept: "application/json" } });
    expect([verified.status, verified.json()]).toEqual([200, { detail: "Email has been successfully verified" }]);
    expect((await client.get("/api/v1/users/current/")).json()).toMatchObject({ is_email_verified: true });

    const other = service.client();
    const signedIn = await other.post("/api/v1/tokens/", { email: body.email.toUpperCase(), password });
    expect([signedIn.status, signedIn.text]).toEqual([200, "{}"]);
    const first = other.cookie("refresh_token");
    expect((await other.post("/api/v1/tokens/refresh/")).status).toBe(200);
    expect(other.cookie("refresh_token")).not.toBe(first);
    const access = other.cookie("access_token") ?? "";
    expect((await other.post("/api/v1/tokens/clear/")).status).toBe(200);
    expect([...other.cookies.values()].map(({ name }) => name)).toEqual(["device_id"]);
    const after = await other.get("/api/v1/users/current/", { headers: { authorization: `Bearer ${access}` } });
    expect([after.status, after.json()]).toEqual([401, { detail: "Session has ended", code: "session_ended" }]);
  });
});
