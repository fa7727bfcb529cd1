# The service in an image: its native wheel and what it runs on, by the digests of two locks. docs/image.md says how it is
# run. A release fills in the digest of the base: --build-arg BASE=docker.io/library/python:3.13-slim-bookworm@sha256:…
# checkov:skip=CKV_DOCKER_7: it does not read the tag that BASE has
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
# Python's own images bring its headers; of Debian's Python they are a package.
RUN apt-get update \
 && headers="$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
 && apt-get install --yes --no-install-recommends gcc libc6-dev $(test -f "$headers" || echo libpython3-dev) \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore

# Wheels alone, whose bytes were locked: what is built from a source distribution is nowhere written down.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/cors-authz \
 && python -m venv --without-pip /opt/tools \
 && python -m pip --python /opt/cors-authz/bin/python install --no-deps --no-compile --require-hashes -r requirements.lock \
 && python -m pip --python /opt/tools/bin/python install --no-deps --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY cors_authz cors_authz
RUN HATCH_BUILD_HOOKS_ENABLE=1 \
    python -m pip --python /opt/tools/bin/python wheel --no-build-isolation --no-deps --no-index --wheel-dir wheel . \
 && python -m pip --python /opt/cors-authz/bin/python install --no-deps --no-compile --no-index wheel/*.whl
RUN /opt/tools/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --pyproject pyproject.toml \
      --output-file sbom.cdx.json /opt/cors-authz/bin/python

# Symbol tables, which only a debugger reads.
RUN find /opt/cors-authz -name '*.so*' -exec strip --strip-unneeded {} +
# A read-only root keeps no byte-code, and the base has none of the standard library: all of it lies in one tree of ours.
# What only other programs import has none there.
RUN PYTHONPYCACHEPREFIX=/opt/cors-authz/bytecode /opt/cors-authz/bin/python -m compileall -q -j 0 \
      --invalidation-mode unchecked-hash \
      -x '^/usr/.*-packages/|/(ensurepip|idlelib|lib2to3|pydoc_data|test|tests|tkinter|turtledemo)/|/google/(api|cloud|type)/|/pydantic/v1/|/pygments/(lexers|styles)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" /opt/cors-authz/lib

FROM ${BASE}
ARG BASE
LABEL org.opencontainers.image.title="cors-authz" \
      org.opencontainers.image.description="An Envoy external-authorization service for CORS, cross-site writes, callers and tenants." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/cors-authz /opt/cors-authz
COPY --from=build /build/sbom.cdx.json /usr/share/cors-authz/sbom.cdx.json
ENV PATH=/opt/cors-authz/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/opt/cors-authz/bytecode \
    CORS_AUTHZ_LISTEN=0.0.0.0:9191 \
    CORS_AUTHZ_METRICS_LISTEN=0.0.0.0:8080 \
    CORS_AUTHZ_POLICY=/etc/cors-authz/policy
USER 65532:65532
EXPOSE 9191 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["cors-authz", "health"]
ENTRYPOINT ["cors-authz"]
CMD ["serve"]
