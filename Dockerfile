# syntax=docker/dockerfile:1
# The image that runs is made from nothing: Python, nft, certificates, Skinflint, and the libraries that these link to.
# It has no shell, no package manager and no setuid file. docs/image.md says how large it is and what was left out.
#
# The base is an argument, so that it can be pinned: --build-arg BASE=debian:trixie-slim@sha256:...
ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
# A base that has all of it already is taken as it is, for builds without a mirror.
# hadolint ignore=DL3008
RUN dpkg -s ca-certificates nftables python3-venv libstdc++6 binutils >/dev/null 2>&1 || { \
        apt-get update \
     && apt-get install -y --no-install-recommends ca-certificates nftables python3 python3-venv libstdc++6 binutils \
     && rm -rf /var/lib/apt/lists/*; }

FROM base AS build
WORKDIR /src
# For builds without a registry: --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels --volume DIR:/wheels:ro
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
# Extras of pyproject.toml that have a lock: postgresql, semantic; "" for none.
ARG EXTRAS=postgresql
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_ONLY_BINARY=:all: PIP_NO_COMPILE=1 PIP_REQUIRE_HASHES=1
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/skinflint
COPY requirements/run.txt requirements/build.txt requirements/postgresql.txt requirements/semantic.txt requirements/
# hadolint ignore=SC2086
RUN /opt/build/bin/pip install -r requirements/build.txt \
 && locks= && for extra in ${EXTRAS}; do locks="${locks} -r requirements/${extra}.txt"; done \
 && /opt/build/bin/pip --python /opt/skinflint/bin/python install -r requirements/run.txt ${locks}
COPY deploy/image deploy/image
RUN python3 deploy/image/rootfs.py /root/image
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY addons addons
COPY config config
RUN /opt/build/bin/hatchling build -t wheel -d /tmp/dist \
 && PIP_REQUIRE_HASHES=0 /opt/build/bin/pip --python /opt/skinflint/bin/python install --no-index --no-deps /tmp/dist/*.whl \
 && python3 deploy/image/strip.py /opt/skinflint \
 && /opt/build/bin/cyclonedx-py environment --output-reproducible --no-validate --spec-version 1.6 --of JSON \
        -o /tmp/python.json --pyproject pyproject.toml /opt/skinflint/bin/python \
 && python3 deploy/image/sbom.py /tmp/python.json /root/image /root/image/usr/share/doc/skinflint/sbom.cdx.json \
 && cp LICENSE /root/image/usr/share/doc/skinflint/ \
 && mkdir -p /root/image/opt && cp -a /opt/skinflint /root/image/opt/ \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /root/image \
        /root/image/usr/lib/python3.* /root/image/opt/skinflint/lib \
 && install -d -o 1337 -g 1337 -m 0700 /root/state /root/image/var/lib/skinflint \
 && find /root/image /root/state -exec touch -hd "@${SOURCE_DATE_EPOCH}" {} +

FROM scratch AS run
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="Skinflint" \
      org.opencontainers.image.description="The LLM sidecar that never pays twice for the same tokens" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /root/image /
# Kubernetes checks a numeric user for runAsNonRoot; 1337 is the id that redirect rules exempt.
COPY --from=build --chown=1337:1337 /root/state /var/lib/skinflint
USER 1337:1337
ENV PATH=/opt/skinflint/bin:/usr/sbin:/usr/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SKINFLINT_DATA_DIR=/var/lib/skinflint
# The only path that is written; everything else works on a read-only root file system.
VOLUME /var/lib/skinflint
EXPOSE 3128 9190
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-IS", "-c", "import socket, sys; s = socket.create_connection(('127.0.0.1', 9190), 2); s.sendall(b'GET /livez HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(99))"]
ENTRYPOINT ["skinflint"]
# One proxy for many: providers alone may be reached through it, on 3128. Sidecars are given other arguments.
CMD ["run", "--profile", "gateway"]
