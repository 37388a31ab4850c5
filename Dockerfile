FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production

# No package needs its script. Node itself comes along as a package for hosts with an older one: the image has it.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/node-linux-* node_modules/.bin/node && npm cache clean --force

# Uploaded pictures: the one thing that is written. Mount a volume here where the service users runs.
ENV DATA_DIR=/data
RUN mkdir /data && chown node /data
VOLUME /data

COPY . .

# Each user has compiled code of his own; a start with it takes half the time.
RUN mkdir .cache && chown node .cache
USER node
# With the options of CMD: V8 does not take what it compiled with others.
RUN node --v8-pool-size=0 --heap-growing-percent=100 scripts/compile.ts
USER root
# Node keeps it readable for its owner alone.
RUN chown -R root .cache && chmod -R a+rX .cache
# Owns nothing in /app: a process that was broken into cannot change its own code.
USER node
EXPOSE 8000 50051

# For nodes with the api-gateway; others have no HTTP, and switch this off (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["node", "-e", \
  "fetch(`http://127.0.0.1:${process.env.WEB_APP_PORT || 8000}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

# Node itself and not npm, which would not hand on SIGTERM. --init (tini) is not needed: Node waits for its own children.
# V8's helper threads: as many as there are cores to spare, and not always four; its heap: twice what is alive before it is
# collected (ADR 16). The same as in package.json.
CMD ["node", "--v8-pool-size=0", "--heap-growing-percent=100", "main.ts"]
