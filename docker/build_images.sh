#!/bin/bash
# Build the images with buildah, for machines without a Docker engine.
#
# usage: build_images.sh NAME...      gateway, worker-cpu, worker-gpu, trainer-cpu, trainer-gpu
set -euo pipefail
cd "$(dirname "$0")/.."

export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
revision=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)

# Where pip finds its packages on this machine, its RUN steps must find them too.
torch_index=()
options=(--format docker --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
for name in PIP_INDEX_URL PIP_FIND_LINKS; do
    if [ -n "${!name:-}" ]; then options+=(--build-arg "$name=${!name}"); fi
done
if [ -d "${PIP_FIND_LINKS:-}" ]; then
    options+=(--volume "$PIP_FIND_LINKS:$PIP_FIND_LINKS:ro")
    # A torch for the CPU is there: its index, which may be out of reach, need not be asked.
    if compgen -G "$PIP_FIND_LINKS/torch-*+cpu-*.whl" >/dev/null; then torch_index=(--build-arg TORCH_CPU_INDEX=); fi
fi
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then options+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro); fi

for name in "$@"; do
    dockerfile=docker/${name%-?pu}.Dockerfile
    variant=()
    case $name in *-?pu) variant=(--build-arg "VARIANT=${name##*-}") ;; esac
    case $name in trainer-*) variant+=("${torch_index[@]}") ;; esac
    begun=$SECONDS
    buildah bud --quiet "${options[@]}" "${variant[@]}" -f "$dockerfile" \
        -t "localhost/thrombolens/$name:$version" . >/dev/null
    size=$(buildah images --format '{{.Size}}' "localhost/thrombolens/$name:$version")
    echo "built $name:$version, $size, in $((SECONDS - begun)) s"
done
