# The image of controller, agent and kubectl plugin: one binary and the tools that it calls. No shell,
# no package manager. `make image` puts the two folders there and builds it, without a daemon and
# without a base image; with them in place `docker buildx build .` does too.
FROM scratch
# amd64, arm64, …: set by the builder for each platform.
ARG TARGETARCH
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Egret" \
      org.opencontainers.image.description="Static egress IPs for Kubernetes that survive node failure" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY target/image/${TARGETARCH}/rootfs/ /
# A layer of its own: a new version is this much to pull.
COPY target/image/${TARGETARCH}/bin/ /usr/bin/
# The controller needs no more. The agent's pod asks for uid 0: Kubernetes gives the capabilities of
# a container to root only.
USER 65532:65532
ENTRYPOINT ["/usr/bin/egret"]
