import pg from "pg";
import type { Row } from "../row.ts";
import { AskedServer } from "../support/asked-server.ts";
import { contest, middle, ratios } from "../support/contest.ts";
import { pinned } from "../support/cores.ts";
import { ratioFigures } from "../support/measure.ts";
import { installRivals, startRival, type Rival } from "../support/rivals.ts";
import { createStand, startNode, type Stand } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

/** Who are asked for often enough to stay in the cache: the goal is about the way, not about PostgreSQL. */
const people = 100;
/** Each costs better-auth a scrypt hash. */
const rivalPeople = 20;
const path = "/api/v1/users/current/";

/** The own account by cookie, against a bare moleculer-web alias and against better-auth's `get-session`. */
export const currentUser: Row = pinned(async (log) => {
  installRivals(log);
  const stand = await createStand();
  const cookies = (await signedIn(stand, people)).map(({ accessToken }) => `access_token=${accessToken}`);
  const node = await startNode(stand);
  const rivals: Rival[] = [];
  const loads: AskedServer[] = [];
  const asked = (server: Pick<Rival, "usage">, url: string, whose: readonly string[]): AskedServer => {
    const load = new AskedServer(server, url, whose);
    loads.push(load);
    return load;
  };
  const rival = async (starting: Promise<Rival>): Promise<AskedServer> => {
    const started = await starting;
    rivals.push(started);
    return asked(started, started.url, started.cookies);
  };
  try {
    const contestants = {
      ours: asked(node, node.url + path, cookies),
      alias: await rival(startRival("moleculer-web")),
      betterAuth: await rival(startBetterAuth(stand, "database")),
      cookieCache: await rival(startBetterAuth(stand, "cookie-cache")),
    };
    const rounds = await contest(contestants, log);
    const rate = (of: keyof typeof contestants) => middle(rounds, "perSecond", of);
    return [
      ...ratioFigures("requests / moleculer-web alias", ratios(rounds, "perSecond", "ours", "alias"), { atLeast: 0.7 }),
      ...ratioFigures("CPU time / moleculer-web alias", ratios(rounds, "cpu", "ours", "alias"), { atMost: 1 / 0.7 }),
      ...ratioFigures("requests / better-auth", ratios(rounds, "perSecond", "ours", "betterAuth"), { atLeast: 10 }),
      ...ratioFigures("requests / better-auth, cookie cache", ratios(rounds, "perSecond", "ours", "cookieCache"), {}),
      { name: "requests", value: rate("ours"), unit: "per second" },
      { name: "requests, moleculer-web alias", value: rate("alias"), unit: "per second" },
      { name: "requests, better-auth", value: rate("betterAuth"), unit: "per second" },
      { name: "requests, better-auth, cookie cache", value: rate("cookieCache"), unit: "per second" },
      { name: "CPU time per request", value: middle(rounds, "cpu", "ours"), unit: "µs" },
      { name: "p99", value: middle(rounds, "p99", "ours"), unit: "ms" },
    ];
  } finally {
    for (const load of loads) load.hangUp();
    for (const started of rivals) await started.stop();
    await node.stop();
    await stand.stop();
  }
});

/** On the same PostgreSQL as we, in a database of its own. */
async function startBetterAuth({ database }: Stand, mode: "database" | "cookie-cache"): Promise<Rival> {
  const name = `better_auth_${mode.replace("-", "_")}`;
  const client = new pg.Client(database);
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const { user, password, host, port } = database;
  const address = `postgresql://${user}:${encodeURIComponent(password)}@${host}:${port}/${name}`;
  return await startRival("better-auth", [mode, address, String(rivalPeople)]);
}
