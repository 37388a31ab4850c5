import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { signUp } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { pictureForm } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

test("16 uploads of one account at once: one file, the profile names it, versions without gaps", async () => {
  const person = await signUp(service);
  const upload = async (form: FormData) => {
    const { status } = await person.client.request("PUT", "/api/v1/users/current/image/", { form });
    expect([200, 503]).toContain(status);
    return status === 200 ? true : undefined;
  };
  // Not all of them find room at once, and those come again.
  await Promise.all(Array.from({ length: 16 }, () => eventually("it is taken", () => upload(pictureForm()))));

  const [profile] = await service.query<{ image_path: string }>(
    "select image_path from user_profiles where user_id = $1",
    [person.id],
  );
  expect(await readdir(join(service.config.dataDir, "media", "avatars"))).toEqual([profile?.image_path.split("/")[1]]);
  const events = await service.query<{ version: number; image_url: string }>(
    "select version, data->>'image_url' as image_url from outbox where user_id = $1 order by version",
    [person.id],
  );
  expect(events.map(({ version }) => version)).toEqual(Array.from({ length: 17 }, (_, n) => n + 1));
  expect(new Set(events.map(({ image_url }) => image_url)).size).toBe(17);
  expect(events.at(-1)?.image_url).toBe(`${service.url}/media/${profile?.image_path ?? ""}`);
});
