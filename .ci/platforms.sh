#!/usr/bin/env bash
# Whether all of csrc/ is taken, without a warning, by compilers for other machines, and the header by C++.
# `.ci/run platforms`; ziglang is a download of some 80 MB, so this is not part of what runs by default.
# -n: numbers too, where qemu-aarch64 is: a stream through the main kernels gives each machine's bits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
zig=${ZIG-}
if [ -z "$zig" ]; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install -q ziglang
    zig="$scratch/venv/bin/python -m ziglang"
fi

strict="-std=c99 -ffp-contract=off -Wall -Wextra -Wconversion -Werror"
try() { # name, compiler and flags; zig has no -fsyntax-only
    local name=$1
    shift
    ls -S csrc/*.c | xargs -P "$(nproc)" -I{} sh -c "$* $strict -O0 -DFT_SHARED -c {} -o $scratch/\$(basename {}).o"
    echo "compiles: $name"
}
for target in aarch64-linux-gnu aarch64-linux-musl aarch64-macos x86_64-macos x86_64-windows-gnu riscv64-linux-musl wasm32-wasi; do
    try "zig cc, $target" $zig cc -target "$target"
done
! command -v clang >/dev/null || try clang clang
if gcc -m32 -fsyntax-only -x c - <<<'#include <math.h>' 2>/dev/null; then try "gcc -m32" gcc -m32; fi
for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null || { echo "skipped: $compiler" && continue; }
    for standard in c++11 c++20; do
        "$compiler" -std=$standard -Wall -Wextra -Wconversion -Wpedantic -Werror -fsyntax-only -x c++ csrc/fasttrace.h
    done
    echo "takes the header: $compiler"
done

[ "${1-}" = -n ] || exit 0
build() { # target
    mkdir -p "$scratch/$1"
    ls csrc/*.c tests/fuzz/bits.c | xargs -P "$(nproc)" -I{} sh -c \
        "$zig cc -target $1 -std=c99 -O2 -ffp-contract=off -DFT_SHARED -DFT_NO_CLONES -Icsrc -c {} -o $scratch/$1/\$(basename {} .c).o"
    $zig cc -target "$1" "$scratch/$1"/*.o -lm -o "$scratch/$1/bits"
}
build x86_64-linux-musl
"$scratch/x86_64-linux-musl/bits" | tee "$scratch/here"
for machine in aarch64 riscv64; do
    command -v "qemu-$machine" >/dev/null || { echo "skipped: qemu-$machine" && continue; }
    build "$machine-linux-musl"
    diff "$scratch/here" <("qemu-$machine" "$scratch/$machine-linux-musl/bits")
    echo "the same bits: $machine"
done
