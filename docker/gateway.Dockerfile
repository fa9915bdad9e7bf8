# The light processes: API, listener, deliverer, and the migration. No ONNX Runtime, no torch.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Where pip finds packages, if not on PyPI; of the build alone.
ARG PIP_INDEX_URL=""
ARG PIP_FIND_LINKS=""
COPY docker/install.sh /build/install.sh
COPY . /build/source
RUN /build/install.sh /build/source ""

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Thrombolens gateway" \
      org.opencontainers.image.description="Receives MR studies, queues them, delivers results. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/thrombolens /opt/thrombolens
# The owner of the folder is what a new named volume takes over.
RUN install -d -o 10001 -g 10001 -m 0750 /data
USER 10001:10001
WORKDIR /data
ENV PATH=/opt/thrombolens/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    THROMBOLENS_DATA_DIR=/data \
    THROMBOLENS_HOST=0.0.0.0
EXPOSE 8000 11112
STOPSIGNAL SIGTERM
# Of the API; listener and deliverer have checks of their own in docker-compose.yml.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "service.entrypoints.health", "ready"]
CMD ["python", "-m", "service.entrypoints.api"]
