#!/usr/bin/env bash
# Whether all of csrc/ is taken, without a warning, by compilers for other machines and by one that knows no GNU C, and
# the header by C++; and whether aarch64 gives x86-64's numbers, to the bit, for what the drivers of tests/fuzz make of
# bytes at random.  `.ci/run platforms`; $ZIG, where it is set, is the zig to take.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

has() { command -v "$1" >/dev/null || { echo "skipped: $1, which is not here" && return 1; }; }

strict="-std=c99 -ffp-contract=off -Wall -Wextra -Wconversion -Werror"
each() { # what to say, and a command for $file, whose stem is $stem; [folder]
    ls -S "${3:-csrc}"/[a-z]*.c | xargs -P "$(nproc)" -I{} sh -c "file={} stem=\$(basename {} .c); $2"
    echo "$1"
}

if [ -z "${ZIG-}" ] && python3 -m venv "$scratch/venv" && "$scratch/venv/bin/pip" install -q ziglang; then
    ZIG=$(echo "$scratch"/venv/lib/python3*/site-packages/ziglang/zig)
fi
if has "${ZIG:-zig}"; then
    export ZIG_GLOBAL_CACHE_DIR=$scratch/cache
    for target in aarch64-linux-gnu aarch64-macos x86_64-windows-gnu riscv64-linux-musl wasm32-wasi; do
        each "compiles: zig cc, $target" "$ZIG cc -target $target $strict -O0 -DFT_SHARED -c \$file -o $scratch/\$stem.o"
    done
fi
if gcc -m32 -fsyntax-only -x c - <<<'#include <math.h>' 2>/dev/null; then
    each "compiles: gcc -m32" "gcc -m32 $strict -fsyntax-only \$file"
fi
if has clang; then # without GNU C INFINITY is a number that is too large, and what need not be used has no attribute
    each "compiles: clang" "clang $strict -Wpedantic -fsyntax-only \$file"
    each "compiles: clang without GNU C" "clang -U__GNUC__ $strict -pedantic-errors -Wno-builtin-macro-redefined -Wno-literal-range -Wno-unused-function -fsyntax-only \$file"
fi
for compiler in g++ clang++; do
    has $compiler || continue
    for standard in c++11 c++20; do
        $compiler -std=$standard -Wall -Wextra -Wconversion -Wpedantic -Werror -fsyntax-only -x c++ csrc/fasttrace.h
    done
    echo "takes the header: $compiler"
done

digests() { # where, compiler [what runs it]: a number for each driver
    local out=$scratch/$1 flags="-std=c99 -O1 -ffp-contract=off -DFT_SHARED -DFT_NO_CLONES -DFUZZ_DIGEST -Icsrc"
    mkdir -p "$out/csrc"
    each "for $1: the library" "$2 $flags -c \$file -o $out/csrc/\$stem.o"
    each "for $1: the drivers" "$2 $flags -c \$file -o $out/\$stem.o" tests/fuzz
    for driver in $(grep -l '^static void drive' tests/fuzz/*.c | xargs -n 1 basename -s .c); do
        $2 -static "$out/$driver.o" "$out/alone.o" "$out"/csrc/*.o -lm -o "$out/$driver"
        echo "$driver $(${3-} "$out/$driver" -seed=1 -runs=300)" >>"$out/digests"
    done
}
# Not gcc on x86-64, which evaluates arguments from right to left: drivers read bytes in them.
if [ "$(uname -m)" = x86_64 ] && has clang && has aarch64-linux-gnu-gcc && has qemu-aarch64; then
    digests x86_64 clang
    digests aarch64 aarch64-linux-gnu-gcc qemu-aarch64
    diff "$scratch/x86_64/digests" "$scratch/aarch64/digests"
    echo "the same bits: aarch64, $(wc -l <"$scratch/aarch64/digests") drivers"
fi
