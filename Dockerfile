# An image of t4: docker build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t t4 .
# It takes what `make dist` makes, so that the image has the packages that the Debian package asks for, and no list of its own.
ARG BUILD_IMAGE=swift:6.3-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY . .
RUN scripts/dist --out /dist

FROM ${RUN_IMAGE}
# A number that no other image takes for somebody else; the package's own user would have one that depends on the image.
RUN groupadd --system --gid 65532 t4 \
    && useradd --system --uid 65532 --gid t4 --home-dir /var/lib/t4 --no-create-home --shell /usr/sbin/nologin t4
# The newest packages of the image's Debian, on purpose: they have the fixes. curl is for the health check.
# hadolint ignore=DL3008
RUN --mount=type=bind,from=build,source=/dist,target=/dist \
    apt-get update \
    && apt-get install --yes --no-install-recommends /dist/t4_*.deb ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*

USER 65532:65532
VOLUME /var/lib/t4
# Clients and other nodes.
EXPOSE 3379 3380
# With TLS: https://127.0.0.1:3379/livez. Where clients need a certificate, turn the check off (docker run --no-healthcheck).
ENV HEALTH_URL=http://127.0.0.1:3379/livez
# While an empty data directory is filled from the store there is no answer, so the check gives it time.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["/bin/sh", "-c", "exec curl --fail --silent --insecure --output /dev/null \"$HEALTH_URL\""]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/t4"]
CMD ["run"]
