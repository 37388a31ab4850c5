/**
 * Who may import whom (docs/design.md). Each rule says why, so that whoever meets it learns the reason and not only the no.
 */
const drivers = {
  pg: {
    home: ["mixins/database/**", "mixins/embedded/postgres.ts"],
    why: "PostgreSQL has one door, mixins/database: pool, timeouts and error mapping live there.",
  },
  ioredis: {
    home: ["mixins/redis/redis.ts"],
    why: "Redis has one door, mixins/redis/redis.ts: nobody waits for it there, and it may be away.",
  },
  kafkajs: {
    home: ["services/events/kafkajs-client.ts", "services/events/kafka.ts"],
    why: "Kafka has one door, services/events/kafka.ts, behind which another client can be put.",
  },
  nodemailer: {
    home: ["services/mailer/transport.ts"],
    why: "SMTP has one door, services/mailer/transport.ts: it sets the explicit envelope that stops recipient injection.",
  },
  jsonwebtoken: {
    home: ["lib/access-token.ts", "lib/legacy-token.ts"],
    why: "JWTs are signed and verified in lib/access-token.ts (and the original's in lib/legacy-token.ts) alone, with every check that the library leaves optional.",
  },
  bcrypt: {
    home: ["services/auth/hashing/hash-jobs.ts"],
    why: "Hashing has one door, services/auth/hashing/passwords.ts: it is bounded, off the main thread, peppered and never truncates.",
  },
  "@grpc/grpc-js": {
    home: ["services/grpc-gateway/server.ts"],
    why: "gRPC has one door, services/grpc-gateway/server.ts: limits and error texts live there.",
  },
  "rate-limiter-flexible": {
    home: ["services/auth/throttling/counters/**"],
    why: "Counting has one door, services/auth/throttling/counters: it is shared by all nodes and may lose Redis.",
  },
  sharp: {
    home: ["services/users/pictures/render.ts"],
    why: "Pictures have one door, services/users/pictures/render.ts: formats, pixels, scans and time are limited there.",
  },
  "@fastify/multipart": { home: ["services/api-gateway/**"], why: "HTTP belongs to the api-gateway." },
  fastify: { home: ["services/api-gateway/**"], why: "HTTP belongs to the api-gateway." },
  umzug: { home: ["mixins/database/migrate.ts"], why: "Migrations run in mixins/database/migrate.ts." },
};

const layers = [
  {
    files: ["lib/**/*.ts"],
    patterns: [
      { regex: "^\\.\\./", message: "lib imports only lib: it is plain TypeScript that everything else stands on." },
    ],
  },
  {
    files: ["mixins/**/*.ts"],
    patterns: [
      { regex: "/services/", message: "A mixin knows no service: services use mixins, never the other way round." },
    ],
  },
  {
    files: ["services/**/*.ts"],
    patterns: [
      {
        // ../<service>/<file>, unless the file is a contract.
        regex: "^\\.\\./[a-z-]+/(?!.*\\.contract\\.ts$)",
        message:
          "Of another service only its *.contract.ts may be imported: services meet through typed calls and events.",
      },
    ],
  },
];

/** Stories: plain functions that a test can call without a broker. */
const useCases = {
  files: ["services/*/*.ts"],
  ignores: ["services/*/*.service.ts", "services/api-gateway/serve-routes.ts"],
  why: "A use case is a plain function (deps, input, actor): Moleculer stays in *.service.ts.",
};

const product = ["lib/**/*.ts", "mixins/**/*.ts", "services/**/*.ts"];
const matches = (file, glob) =>
  new RegExp(`^${glob.replaceAll("**", "\u0000").replaceAll("*", "[^/]*").replaceAll("\u0000", ".*")}$`).test(file);

/** One rule for every file, put together from all that concerns it: flat config replaces options and does not merge them. */
const importsOf = {
  meta: { type: "problem", schema: [] },
  create(context) {
    const file = context.filename.slice(context.cwd.length + 1).replaceAll("\\", "/");
    const inAny = (globs) => globs.some((glob) => matches(file, glob));
    const check = (node) => {
      const from = node.source?.value;
      if (typeof from !== "string") return;
      const driver = drivers[from];
      if (driver && !inAny(driver.home)) context.report({ node, message: driver.why });
      for (const { files, patterns } of layers) {
        if (!inAny(files.map((glob) => glob.replace("**/*.ts", "**")))) continue;
        for (const { regex, message } of patterns) if (new RegExp(regex).test(from)) context.report({ node, message });
      }
      const isUseCase = inAny(useCases.files) && !inAny(useCases.ignores);
      if (isUseCase && from === "moleculer") context.report({ node, message: useCases.why });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
    };
  },
};

/** `process.env` is read in one place; everything else gets a typed, frozen configuration. */
const environmentRule = {
  files: product,
  ignores: ["lib/config.ts", "mixins/embedded/**"],
  rules: {
    "no-restricted-properties": [
      "error",
      {
        object: "process",
        property: "env",
        message: "Only lib/config.ts reads the environment: elsewhere a typo would be undefined at run time.",
      },
    ],
  },
};

export const importRules = [
  { files: product, plugins: { house: { rules: { imports: importsOf } } }, rules: { "house/imports": "error" } },
  environmentRule,
];
