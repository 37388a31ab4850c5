/** `npm run demo`: plays the whole story against the running service, or one of its own, and shows what each step saw. */
import { loadConfig, readEnvironment } from "../lib/config.ts";
import { silentLog } from "../lib/log.ts";
import { embeddedDefaults } from "../mixins/embedded/defaults.ts";
import { openEvents } from "./demo/events.ts";
import { Difference, heading } from "./demo/report.ts";
import { openRolesClient } from "./demo/roles-client.ts";
import { findOrStartService, type Service } from "./demo/service.ts";
import { characters, play } from "./demo/story.ts";

const environment = readEnvironment();
if (environment["NODE_ENV"] === "production") {
  console.error("The demo makes accounts and reads the development mailbox: it does not run in production.");
  process.exit(1);
}

const began = performance.now();
// The service's own database, to look into the outbox; mails are read from the service.
const base = await embeddedDefaults({ ...environment, SERVICES: "events" }, silentLog);
let service: Service | undefined;
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void interrupted());
try {
  process.exitCode = (await demonstrate()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await base.stop();
}

async function demonstrate(): Promise<boolean> {
  const config = loadConfig(base.env);
  service = await findOrStartService(config);
  console.log(service.found ? `The service answers at ${service.url}.` : `Started the service at ${service.url}.`);
  const roles = openRolesClient(service.grpcAddress);
  const events = openEvents(config);
  try {
    let differences = 0;
    for (const character of characters) {
      try {
        await events.show(character, await play(character, service.url, roles));
      } catch (error) {
        if (!(error instanceof Difference)) throw error;
        differences++;
      }
    }
    const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
    heading(differences === 0 ? `All as it should be (${took}).` : `${differences} of 3 stories went wrong (${took}).`);
    return differences === 0;
  } finally {
    roles.close();
    await events.close();
    await service.stop();
  }
}

async function interrupted(): Promise<never> {
  await service?.stop();
  await base.stop();
  process.exit(130);
}
