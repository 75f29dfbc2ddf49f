# syntax=docker/dockerfile:1

# One image for every part: `penstock serve`, `penstock api`, `penstock worker`.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# What is installed is what was locked, by hash. The application's environment has no pip.
COPY requirements/app.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/penstock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip --python /opt/penstock/bin/python install \
        --require-hashes --only-binary :all: -r requirements/app.txt \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY broker broker
COPY cli cli
COPY schemas schemas
COPY workers workers
RUN /opt/build/bin/python -m hatchling build -t wheel -d /opt/wheel \
    && /opt/build/bin/pip --python /opt/penstock/bin/python install \
        --no-deps --no-index /opt/wheel/*.whl


FROM python:3.13-slim
LABEL org.opencontainers.image.title="penstock" \
      org.opencontainers.image.description="A durable, fair inference broker: OpenAI-shaped doors over RabbitMQ queues and any model server." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, so that Kubernetes can see that it is not root. A volume mounted at the data directory
# (where `serve` keeps everything, and `api` and `worker` large bodies) takes over its owner.
RUN groupadd --gid 10001 penstock \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/penstock penstock \
    && install -d -o penstock -g penstock -m 0700 /var/lib/penstock
COPY --from=build /opt/penstock /opt/penstock

ENV PATH=/opt/penstock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PENSTOCK_LISTEN=0.0.0.0:8080 \
    PENSTOCK_DATA_DIR=/var/lib/penstock
USER 10001:10001
WORKDIR /var/lib/penstock
EXPOSE 8080

# It listens for other containers, so it starts only with a key (PENSTOCK_ADMIN_KEY or tenants).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "cli.healthcheck", "http://127.0.0.1:8080/live"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["serve"]
