/** `node scripts/compile.ts`: compiles all that a node may run, so that its first start is as fast as later ones (Dockerfile). */
import { keepCompiledCode } from "../lib/compiled-code.ts";
import { serviceNames } from "../lib/config.ts";

keepCompiledCode();
await import("../node.ts");
for (const name of serviceNames) await import(`../services/${name}/${name}.service.ts`);
