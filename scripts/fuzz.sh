#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for so many seconds each:
#   scripts/fuzz.sh 60
# libFuzzer with coverage, without AddressSanitizer: `unsafe` is denied, and this way the stable toolchain is enough.
# What it learns stays in fuzz/corpus, what breaks lies in fuzz/artifacts; give such a file as argument to the binary to see it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:?how many seconds for each target}

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# `--target` keeps the instruments out of build scripts.
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks $coverage" \
    cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir target/fuzz

for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    printf '\n==> Fuzzing %s for %s s\n' "$target" "$seconds"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    "target/fuzz/$host/release/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
        -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 2>"target/fuzz/$target.log" || {
        tail -n 60 "target/fuzz/$target.log"
        printf 'error: %s broke; the bytes lie in fuzz/artifacts/%s\n' "$target" "$target" >&2
        exit 1
    }
    grep -E 'stat::number_of_executed_units|DONE' "target/fuzz/$target.log"
done
