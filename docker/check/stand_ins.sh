#!/bin/bash
# Make local images of the names that the Dockerfiles build on, where their registry is out of
# reach: Debian from its package mirror, with Debian's own Python at the place of the official one.
#
# usage: stand_ins.sh IMAGE...
set -euo pipefail

MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
WORK=$(mktemp -d /var/tmp/stand-in.XXXXXX)
trap 'rm -rf "$WORK"' EXIT

absent() { ! buildah images --quiet "$1" >/dev/null 2>&1; }

make_root() {
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$WORK/root" "$MIRROR" >"$WORK/log" 2>&1 || { tail -20 "$WORK/log"; exit 1; }
    rm -rf "$WORK/root/var/cache/apt/archives" "$WORK/root/var/lib/apt/lists"
    mkdir -p "$WORK/root/var/cache/apt/archives/partial" "$WORK/root/var/lib/apt/lists"
    ln -sf /usr/bin/python3 "$WORK/root/usr/local/bin/python"
    ln -sf /usr/bin/python3 "$WORK/root/usr/local/bin/python3"
    # The official image has a pip that may install outside of virtual environments.
    rm -f "$WORK"/root/usr/lib/python3*/EXTERNALLY-MANAGED
    tar -C "$WORK/root" --one-file-system --exclude='./proc/*' --exclude='./sys/*' \
        -cf "$WORK/root.tar" .
}

missing=()
for image in "$@"; do
    if absent "$image"; then missing+=("$image"); fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

make_root
container=$(buildah from scratch)
# A tar file is unpacked; a folder would lose its owners.
buildah add --quiet "$container" "$WORK/root.tar" / >/dev/null
for image in "${missing[@]}"; do
    buildah commit --quiet "$container" "$image" >/dev/null
    echo "stand-in for $image, made of Debian's packages"
done
buildah rm "$container" >/dev/null
