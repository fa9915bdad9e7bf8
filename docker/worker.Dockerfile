# The worker: ONNX Runtime for the CPU, or with --build-arg VARIANT=gpu for CUDA. No torch.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG VARIANT=cpu
# Where pip finds packages, if not on PyPI; of the build alone.
ARG PIP_INDEX_URL=""
ARG PIP_FIND_LINKS=""
COPY docker/install.sh /build/install.sh
COPY . /build/source
RUN /build/install.sh /build/source "${VARIANT}"

FROM ${PYTHON_IMAGE}
ARG VARIANT=cpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Thrombolens worker (${VARIANT})" \
      org.opencontainers.image.description="Finds and outlines stroke thrombi on MR studies. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/thrombolens /opt/thrombolens
# The owner of the folder is what a new named volume takes over.
RUN install -d -o 10001 -g 10001 -m 0750 /data
USER 10001:10001
WORKDIR /data
# CUDA's libraries come as wheels, so that both variants share their base; the NVIDIA runtime of
# the engine brings the driver alone. Folders that are not there are passed over.
ENV PATH=/opt/thrombolens/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/thrombolens/lib/cuda \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    THROMBOLENS_DATA_DIR=/data \
    THROMBOLENS_HEARTBEAT_FILE=/tmp/heartbeat
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=3 \
    CMD ["python", "-m", "service.entrypoints.health", "heartbeat"]
CMD ["python", "-m", "service.entrypoints.worker"]
