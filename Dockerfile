FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production

# Optional dependencies are Node itself, for hosts with an older one: the image has it. No package needs its script.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force

COPY . .

# Owns nothing in /app: a process that was broken into cannot change its own code.
USER node
EXPOSE 8000 50051

# For nodes with the api-gateway; others have no HTTP, and switch this off (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["node", "-e", \
  "fetch(`http://127.0.0.1:${process.env.WEB_APP_PORT || 8000}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

# Node itself and not npm, which would not hand on SIGTERM. --init (tini) is not needed: no child processes.
CMD ["node", "main.ts"]
