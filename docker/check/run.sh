#!/bin/bash
# `make images-check`: build the images and try the composition's commands, without a Docker engine.
#
# usage: run.sh PYTHON [IMAGE...]     IMAGE: gateway worker-cpu (default), worker-gpu, trainer-cpu
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
shift
images=("${@:-}")
if [ -z "${images[0]}" ]; then images=(gateway worker-cpu); fi

declare -A packages=(
    [buildah]=buildah [debootstrap]=debootstrap [promtool]=prometheus [redis-server]=redis-server
)
missing=()
for program in "${!packages[@]}"; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        echo "missing, and only root can install it, on Debian: apt-get install ${missing[*]}"
        exit 1
    fi
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends "${missing[@]}"
fi
"$python" -m tests.tools

"$python" -m pytest -q docker/check/test_composition.py
promtool check config docker/prometheus/prometheus.yml
promtool test rules docker/prometheus/alerts_test.yml

export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
base=$(sed -n 's/^ARG PYTHON_IMAGE=//p' docker/gateway.Dockerfile)
if ! buildah images --quiet "$base" >/dev/null 2>&1; then
    timeout 60 buildah pull --quiet "$base" 2>/dev/null || docker/check/stand_ins.sh "$base"
fi
docker/build_images.sh "${images[@]}"

# What was built decides what is tried; the composition needs two of them.
built() { for name in "$@"; do [[ " ${images[*]} " == *" $name "* ]] || return 1; done; }
checks=()
if built gateway worker-cpu; then checks+=(docker/check/test_images.py); fi
if built worker-gpu; then checks+=(docker/check/test_worker_gpu.py); fi
if built trainer-cpu; then checks+=(docker/check/test_trainer.py); fi
if [ ${#checks[@]} -eq 0 ]; then
    echo "built, but none of them can be tried alone: ${images[*]}"
    exit 1
fi
"$python" -m pytest -q -s -p no:xdist "${checks[@]}"
