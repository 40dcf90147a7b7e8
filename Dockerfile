FROM node:24-slim AS package
WORKDIR /source
COPY package.json package-lock.json .env.example LICENSE README.md CHANGELOG.md tsconfig.json ./
COPY bin ./bin
COPY build ./build
COPY config ./config
COPY src ./src
COPY routes ./routes
COPY services ./services
RUN npm ci --no-audit --no-fund && npm pack

FROM node:24-slim
# It listens on all interfaces: start it with AUTH_ENABLED=true, or ALLOW_UNAUTHENTICATED=true behind access control of your own.
ENV NODE_ENV=production API_HOST=0.0.0.0 API_PORT=8000 CACHE_DIRECTORY=/data/cache DATA_DIRECTORY=/data LOG_FORMAT=json
COPY --from=package /source/control-tower-*.tgz /tmp/
RUN npm install --global --ignore-scripts --no-audit --no-fund /tmp/control-tower-*.tgz && rm /tmp/control-tower-*.tgz \
  && mkdir /data && chown node:node /data
USER node
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.API_PORT + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["tower", "serve"]
