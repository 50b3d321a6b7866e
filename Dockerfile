# syntax=docker/dockerfile:1
# One image for operator and movers, for those who build images with Docker or Podman:
#   docker build --tag registry.example.com/longshore/longshore:0.1.0 .
# This file is not run by the project's tests: the lab builds its images without Docker, from the same programs. amd64 is what is tested.

FROM rust:1.95-bookworm AS build
# aws-lc-rs compiles C; protoc is not needed.
RUN apt-get update && apt-get install --yes --no-install-recommends cmake clang && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    # Without `kubectl longshore`: the mover needs no client of Kubernetes.
    cargo build --release --locked --no-default-features --package longshore-cli --package longshore-operator \
    && cp target/release/longshore target/release/longshore-operator /usr/local/bin/ \
    # The plugin runs inside Velero's image, of whose libraries nothing is known: it brings its own.
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package longshore-velero-plugin \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp target/*-unknown-linux-gnu/release/longshore-velero-plugin /usr/local/bin/

# glibc, libgcc and CA certificates, no shell.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /usr/local/bin/longshore /usr/local/bin/longshore-operator /usr/local/bin/longshore-velero-plugin /usr/local/bin/
COPY LICENSE /licenses/LICENSE
# The operator runs as this user. Movers are started as UID 0 with few or no capabilities by their Job; docs/security.md says why.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/longshore-operator"]
