import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { failPointEnv, type FailPoint } from "../support/fail-point.ts";
import { pictureForm } from "../support/pictures.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

const failPointModule = join(import.meta.dirname, "../support/fail-point.ts");

let stand: TestStand;
let person: Person;
let running: ServiceProcess;
beforeEach(async () => {
  stand = await createStand({ SERVICES: "auth,users,api-gateway" });
  await start();
  person = await signUp(stand);
  expect(await upload()).toBe(200);
});
afterEach(async () => {
  await running.kill();
  await stand.stop();
});

async function start(point?: FailPoint): Promise<void> {
  running = startProcess({ ...stand.env, ...(point && failPointEnv(point)) }, point && { imports: [failPointModule] });
  await running.ready();
}
/** @returns the status, or nothing when there was no answer */
const upload = async (): Promise<number | undefined> => {
  const sent = person.client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm() });
  return (await sent.catch(() => undefined))?.status;
};
const folder = () => join(stand.env["DATA_DIR"] ?? "", "media", "avatars");
const files = async () => (await readdir(folder())).toSorted();
const named = async () => {
  const [row] = await stand.query<{ image_path: string }>("select image_path from user_profiles");
  return row?.image_path.split("/")[1] ?? "";
};

describe("kill -9 while a picture is changed", () => {
  test.each([
    ["before the transaction", { when: "before", statement: "^begin$" }, "old"],
    ["before COMMIT", { when: "before", statement: "^commit$" }, "old"],
    ["after COMMIT, before the old picture is removed", { when: "after", statement: "^commit$" }, "new"],
  ] as const)("%s: a file too many is left, and the next start removes it when it is old", async (_, point, shown) => {
    const [before] = await files();
    await running.stop();
    await start({ ...point, service: "users" });
    expect(await upload()).toBeUndefined();
    expect(await running.exited).toMatchObject({ signal: "SIGKILL" });

    const left = await files();
    expect(left).toHaveLength(2);
    expect(left).toContain(await named());
    expect((await named()) === before).toBe(shown === "old");

    const anHourAgo = new Date(Date.now() - 61 * 60 * 1000);
    const unfinished = `${before ?? ""}.0a0b0c0d.part`;
    await writeFile(join(folder(), unfinished), "half of a pic");
    for (const name of [...left, unfinished]) await utimes(join(folder(), name), anHourAgo, anHourAgo);
    await start();
    await eventually("only the one that is named is left", async () =>
      JSON.stringify(await files()) === JSON.stringify([await named()]) ? true : undefined,
    );
    expect((await stand.client().get(`/media/avatars/${await named()}`)).status).toBe(200);
    expect(await upload()).toBe(200);
    expect(await files()).toEqual([await named()]);
  });

  test("a file that nobody names yet, and is young: stays", async () => {
    const young = `${person.id}-${"0".repeat(32)}-00000000.jpg`;
    const old = `${person.id}-${"1".repeat(32)}-00000000.jpg`;
    for (const name of [young, old, "something else.jpg"]) await writeFile(join(folder(), name), "x");
    const anHourAgo = new Date(Date.now() - 61 * 60 * 1000);
    for (const name of [old, "something else.jpg"]) await utimes(join(folder(), name), anHourAgo, anHourAgo);
    await running.stop();
    await start();
    await eventually("the old one is gone", async () => ((await files()).includes(old) ? undefined : true));
    expect(await files()).toEqual([young, await named(), "something else.jpg"].toSorted());
  });
});
