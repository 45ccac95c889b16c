# The gateway in an image: `docker build -t figueira .`
# Where the usual base images cannot be pulled, name others: see deploy/container-check. It is built twice, and between
# the two under load, so that it costs what it should: a third more without, and half the time to wait,
# with --build-arg BUILD="cargo build --locked --profile dist --bin figueira".
ARG BUILD_BASE=docker.io/library/rust:1.95-slim-bookworm
ARG RUN_BASE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_BASE} AS build
ARG BUILD=deploy/profiled
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY deploy/profiled deploy/profiled
COPY src src
COPY timeslice timeslice
# The caches outlive a build, and are no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    ${BUILD} \
    && install -D -m 755 target/dist/figueira /out/usr/local/bin/figueira \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
    && install -d -o 10001 -g 10001 /out/var/lib/figueira \
    && install -d /out/etc/figueira

FROM ${RUN_BASE}
COPY --from=build /out /
# Named once more: not every builder keeps an owner.
COPY --from=build --chown=10001:10001 /out/var/lib/figueira /var/lib/figueira
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/figueira
VOLUME ["/var/lib/figueira"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["figueira", "health"]
ENTRYPOINT ["figueira"]
CMD ["serve", "--config", "/etc/figueira/routes.toml"]
