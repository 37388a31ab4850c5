/** The least that a REST read through moleculer-web can be: one alias to a local action with a constant answer. */
import { ServiceBroker } from "moleculer";
import ApiGateway from "moleculer-web";

const user_profile = {
  first_name: "Anna",
  last_name: "Kowalska",
  full_name: "Anna Kowalska",
  phone: "+48512345678",
  image_url: "http://127.0.0.1:8000/media/default-avatar.svg",
  birth_date: "1990-05-17",
  age: 35,
};
const answer = {
  id: 1,
  email: "anna@example.com",
  pending_email: null,
  role: "CU",
  last_login: null,
  is_active: true,
  is_email_verified: true,
  user_profile,
};

const broker = new ServiceBroker({ logger: false });
broker.createService({ name: "users", actions: { current: () => answer } });
const gateway = broker.createService({
  name: "api",
  mixins: [ApiGateway],
  settings: { ip: "127.0.0.1", port: 0, routes: [{ path: "/", aliases: { "GET /current": "users.current" } }] },
});
await broker.start();
process.send({
  ready: JSON.stringify({ url: `http://127.0.0.1:${gateway.server.address().port}/current`, cookies: [""] }),
});
