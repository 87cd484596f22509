# The HTTP server with its pages: `bruno-memory-vec serve`. docs/server.md says how it is used.
#
#   docker build --build-arg VERSION=0.1.0 --tag bruno-memory .
#   docker run --rm --volume memory:/data bruno-memory token --tokens /data/tokens.json --user ana
#   docker run --publish 127.0.0.1:8420:8420 --volume memory:/data bruno-memory

FROM python:3.12-slim-bookworm AS build
# The tree that is copied has no history, by which the version is known otherwise.
ARG VERSION=0.1.0
ENV SETUPTOOLS_SCM_PRETEND_VERSION_FOR_BRUNO_MEMORY_VEC=$VERSION
WORKDIR /source
COPY . .
RUN python -m venv /opt/memory \
    && wheel=$(pip wheel --no-cache-dir --no-deps --wheel-dir /wheels --quiet . && ls /wheels/*.whl) \
    && /opt/memory/bin/pip install --no-cache-dir "${wheel}[server,metrics,encryption,qdrant,redis]"

FROM python:3.12-slim-bookworm
# The volume's files are this user's, so its number stays the same.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin memory \
    && install --directory --owner=memory --mode=0700 /data
COPY --from=build /opt/memory /opt/memory
ENV PATH=/opt/memory/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BRUNO_MEMORY_URL=/data/memory
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8420
# It sends what is pending to the disk at SIGTERM; 20 s are left to calls under way.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8420/readyz', timeout=4)"]
ENTRYPOINT ["bruno-memory-vec"]
# Whoever calls has a token, so any name by which the server is called will do.
CMD ["serve", "--host", "0.0.0.0", "--tokens", "/data/tokens.json", "--allow-host", "*"]
