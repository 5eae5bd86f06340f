# Both programs of the operator. `cargo lab image` makes the same without Docker.
#
#   docker build --target controller --tag restate-operator/controller:0.1.0 .
#   docker build --target apiserver  --tag restate-operator/apiserver:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --package restate-controller --package restate-apiserver \
    && mkdir /programs \
    && cp target/release/restate-controller target/release/restate-apiserver /programs/
# What the programs need of a system: the libraries that they are linked with, certificate roots, a user.
RUN mkdir -p /system/etc/ssl/certs \
    && ldd /programs/* | grep -o '/[^ :]*\.so[^ ]*' | sort -u | xargs cp --dereference --parents --target-directory /system \
    && cp /etc/ssl/certs/ca-certificates.crt /system/etc/ssl/certs/ \
    && printf 'nonroot:x:65532:65532:nonroot:/:/nonexistent\n' > /system/etc/passwd \
    && printf 'nonroot:x:65532:\n' > /system/etc/group

FROM scratch AS controller
COPY --from=build /system /
COPY --from=build /programs/restate-controller /usr/local/bin/restate-controller
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/restate-controller"]

FROM scratch AS apiserver
COPY --from=build /system /
COPY --from=build /programs/restate-apiserver /usr/local/bin/restate-apiserver
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/restate-apiserver"]
