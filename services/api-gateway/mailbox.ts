import type { FastifyInstance } from "fastify";
import { mailboxPage } from "./pages.ts";
import { pagePolicy } from "./security-headers.ts";

/** The mails that the local catcher received, newest first. Never in production. */
export function serveMailbox(server: FastifyInstance, dataDir: string): void {
  const mails = async () => {
    // A development dependency: loaded when somebody looks.
    const { readMailbox } = await import("../../mixins/embedded/mail-catcher.ts");
    return await readMailbox(dataDir);
  };
  server.get("/dev/mailbox.json", mails);
  server.get("/dev/mailbox/", async (_, reply) => {
    const page = mailboxPage(await mails());
    return await reply.type("text/html; charset=utf-8").header("content-security-policy", pagePolicy).send(page);
  });
}
