#!/usr/bin/env bash
# Every Rust test of the workspace, with hung ones killed. cargo-nextest kills the one test that hangs
# (.config/nextest.toml); without it, `timeout` ends the whole run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
    cargo test --locked --workspace --doc
    cargo nextest run --locked --workspace --no-fail-fast
else
    timeout --kill-after=30 2400 cargo test --locked --workspace --no-fail-fast
fi
