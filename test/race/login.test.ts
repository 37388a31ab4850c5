import { afterAll, beforeAll, expect, test } from "@jest/globals";
import bcrypt from "bcrypt";
import { createHash } from "node:crypto";
import { signUp } from "../contract/accounts.ts";
import { password } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

test("16 sign-ins at once, while the first of them renews an imported hash: nobody is refused", async () => {
  const person = await signUp(service);
  const digest = createHash("sha256").update(password).digest("hex");
  const imported = `bcrypt_sha256$${await bcrypt.hash(digest, 4)}`;
  await service.query("update users set password_hash = $2 where id = $1", [person.id, imported]);
  const body = { email: person.email, password };
  const answers = await Promise.all(Array.from({ length: 16 }, () => service.client().post("/api/v1/tokens/", body)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
  const [stored] = await service.query<{ password_hash: string }>("select password_hash from users where id = $1", [
    person.id,
  ]);
  expect(stored?.password_hash).toMatch(/^v1:/);
});
