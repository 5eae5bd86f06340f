# Both programs of the operator. `cargo lab image` makes the same without Docker.
#
#   docker build --target controller --tag restate-operator/controller:0.1.0 .
#   docker build --target apiserver  --tag restate-operator/apiserver:0.1.0 .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --package restate-controller --package restate-apiserver \
    && mkdir /programs \
    && cp target/release/restate-controller target/release/restate-apiserver /programs/

# Libraries and certificate roots, no shell; its user 65532 is who the programs run as.
FROM gcr.io/distroless/cc-debian12:nonroot AS controller
COPY --from=build /programs/restate-controller /usr/local/bin/restate-controller
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/restate-controller"]

FROM gcr.io/distroless/cc-debian12:nonroot AS apiserver
COPY --from=build /programs/restate-apiserver /usr/local/bin/restate-apiserver
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/restate-apiserver"]
