#!/usr/bin/env bash
# PyPI has torch for Linux with CUDA only: 0.5 GB, and 2 GB and more of CUDA libraries that nothing here calls without a GPU. torch needs
# them to be there, not to do anything: this puts empty libraries in place of those that are missing. torch then has to be loaded with
# lazy binding, TORCH_USE_RTLD_GLOBAL=1.
#
#     stub_cuda.sh ENVIRONMENT
set -euo pipefail
libraries=$(echo "$1"/lib/python3*/site-packages/torch/lib)
source=$(mktemp --suffix=.c)
trap 'rm -f "$source"' EXIT
echo 'void cc100_stub(void) {}' > "$source"
missing() {
    for library in "$libraries"/*.so; do ldd "$library"; done | awk '/not found/ { print $1 }' | sort -u
}
for name in $(missing); do
    gcc -shared -o "$libraries/$name" -Wl,-soname,"$name" "$source"
done
if [ -n "$(missing)" ]; then
    echo "still missing: $(missing)" >&2
    exit 1
fi
