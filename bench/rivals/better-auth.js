/**
 * better-auth's get-session on PostgreSQL, for people who signed up with e-mail and password. Its argument is how it
 * looks a session up: "database", its default, or "cookie-cache".
 */
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import pg from "pg";

const [mode, connectionString, people] = process.argv.slice(2);
const server = createServer((request, response) => handle(request, response));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}`;
const options = {
  baseURL,
  secret: "a-secret-of-the-benchmark-0123456789",
  database: new pg.Pool({ connectionString, max: 10 }),
  emailAndPassword: { enabled: true },
  // In production it would refuse all but a few of the requests.
  rateLimit: { enabled: false },
  session: { cookieCache: { enabled: mode === "cookie-cache", maxAge: 60 * 60 } },
  telemetry: { enabled: false },
};
const { runMigrations } = await getMigrations(options);
await runMigrations();
const auth = betterAuth(options);
const handle = toNodeHandler(auth);

const cookies = [];
for (let nth = 0; nth < Number(people); nth++) {
  const body = { email: `anna.${nth}@example.com`, password: "correct horse battery", name: "Anna Kowalska" };
  const { headers } = await auth.api.signUpEmail({ body, asResponse: true });
  cookies.push(
    headers
      .getSetCookie()
      .map((cookie) => cookie.split(";")[0])
      .join("; "),
  );
}
process.send({ ready: JSON.stringify({ url: `${baseURL}/api/auth/get-session`, cookies }) });
