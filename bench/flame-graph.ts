/**
 * `node bench/flame-graph.ts`: profiles GetUserRole in a closed loop and draws where the server's CPU time goes, as
 * docs/get-user-role.svg. Read it upwards: what stands on a box was called by it; the width is time.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CalledServer } from "./support/called-server.ts";
import { pinned } from "./support/cores.ts";
import { drawFlames } from "./support/flames.ts";
import { roleCalls } from "./support/role-calls.ts";
import { createStand, startNode } from "./support/service.ts";
import { signedIn } from "./support/signed-in.ts";

const warmUpSeconds = 10;
const seconds = 15;
const file = join(import.meta.dirname, "../docs/get-user-role.svg");

const profileGetUserRole = pinned(async () => {
  const stand = await createStand();
  const customers = await signedIn(stand, 1000);
  const node = await startNode(stand);
  const server = new CalledServer([node], [node.grpcAddress], roleCalls(customers));
  try {
    await server.turn(warmUpSeconds);
    await node.profile();
    await server.turn(seconds);
    const profile = await node.profile();
    if (!profile) throw new Error("no profile");
    await writeFile(file, drawFlames("GetUserRole: where the server's CPU time goes", profile));
    return [];
  } finally {
    server.load.close();
    await node.stop();
    await stand.stop();
  }
});

await profileGetUserRole(console.error);
