/** `npm run asyncapi`: writes docs/asyncapi.json from the event contracts. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asyncApiDocument } from "../services/events/asyncapi.ts";
import { listeners } from "../services/events/listeners.ts";

const file = join(import.meta.dirname, "../docs/asyncapi.json");
await writeFile(file, `${JSON.stringify(asyncApiDocument(listeners), null, 2)}\n`);
