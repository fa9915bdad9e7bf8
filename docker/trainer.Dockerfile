# Simulation, training, export and evaluation: torch, and all of the service. Not for a clinic.
# torch is that for the CPU; with --build-arg VARIANT=gpu that of PyPI, which brings CUDA along.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG VARIANT=cpu
# Asked besides PyPI, which has no torch without CUDA.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
# Where pip finds packages, if not on PyPI; of the build alone.
ARG PIP_INDEX_URL=""
ARG PIP_FIND_LINKS=""
COPY docker/install.sh /build/install.sh
COPY . /build/source
RUN [ "${VARIANT}" = gpu ] || export PIP_EXTRA_INDEX_URL="${TORCH_CPU_INDEX}"; \
    /build/install.sh /build/source "cpu,training"

FROM ${PYTHON_IMAGE}
ARG VARIANT=cpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Thrombolens trainer (${VARIANT})" \
      org.opencontainers.image.description="Simulates patients and trains networks on them. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/thrombolens /opt/thrombolens
RUN install -d -o 10001 -g 10001 -m 0750 /data
USER 10001:10001
WORKDIR /data
# MONAI asks who runs it; the user has no name otherwise.
ENV USER=thrombolens \
    PATH=/opt/thrombolens/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# A command that ends by itself has no health.
CMD ["thrombolens", "simulate", "--help"]
