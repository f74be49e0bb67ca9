# syntax=docker/dockerfile:1
# Two stages: wheels are resolved and installed with a compiler at hand, the image that runs has none.
# Both bases are arguments, so that they can be pinned by digest: --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
# For builds without a registry: --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels --volume DIR:/wheels:ro
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/skinflint && python3 -m venv /opt/build
COPY requirements/run.txt requirements/build.txt requirements/
RUN /opt/skinflint/bin/pip install --require-hashes -r requirements/run.txt \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY addons addons
COPY config config
RUN /opt/build/bin/hatchling build -t wheel -d /tmp/dist \
 && /opt/skinflint/bin/pip install --no-index --no-deps /tmp/dist/*.whl \
 && /opt/skinflint/bin/pip uninstall -y pip \
 && python3 -m compileall -q /opt/skinflint/lib

FROM ${BASE} AS run
# Kubernetes checks a numeric user for runAsNonRoot; 1337 is the id that redirect rules exempt.
COPY --from=build /opt/skinflint /opt/skinflint
RUN mkdir -p /var/lib/skinflint && chown 1337:1337 /var/lib/skinflint && chmod 0700 /var/lib/skinflint
USER 1337:1337
ENV PATH=/opt/skinflint/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SKINFLINT_DATA_DIR=/var/lib/skinflint
# The only path that is written; everything else works on a read-only root file system.
VOLUME /var/lib/skinflint
EXPOSE 8080 9190
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9190/livez', timeout=2)"]
ENTRYPOINT ["skinflint"]
CMD ["run", "--listen", "0.0.0.0:8080"]
