#!/bin/sh
# Install the service into /opt/thrombolens, with exactly the versions of constraints.txt, and
# write down what came along. Runs in the build stage of every image.
#
# usage: install.sh SOURCE EXTRAS      EXTRAS: "", "cpu", "gpu" or "cpu,training"
set -eu

SOURCE=$1
EXTRAS=$2
HOME_OF_IT=/opt/thrombolens
SBOM_TOOL=cyclonedx-bom==7.5.0

# Without pip: nothing can be installed in the finished image.
python3 -m venv --without-pip "$HOME_OF_IT"
python3 -m venv /build/tools
/build/tools/bin/pip install --quiet --no-cache-dir "$SBOM_TOOL"

into_it() {
    /build/tools/bin/pip --python "$HOME_OF_IT/bin/python" install --quiet --no-cache-dir \
        --constraint "$SOURCE/constraints.txt" "$@"
}

case $EXTRAS in
    *training*)
        # First and alone: an index that offers it as a file is asked for exactly this version.
        into_it "$(sed -n 's/^torch==/torch==/p' "$SOURCE/constraints.txt")"
        ;;
    gpu)
        into_it --constraint "$SOURCE/docker/constraints-gpu.txt" "onnxruntime-gpu[cuda,cudnn]"
        # One folder of links, for LD_LIBRARY_PATH.
        mkdir "$HOME_OF_IT/lib/cuda"
        ln -s "$HOME_OF_IT"/lib/python3*/site-packages/nvidia/*/lib/*.so* "$HOME_OF_IT/lib/cuda/"
        ;;
esac
into_it "$SOURCE${EXTRAS:+[$EXTRAS]}"

# The software bill of materials: Python distributions; those of the base are the base's to tell.
/build/tools/bin/cyclonedx-py environment --output-reproducible \
    --output-file "$HOME_OF_IT/sbom.cdx.json" "$HOME_OF_IT/bin/python"
