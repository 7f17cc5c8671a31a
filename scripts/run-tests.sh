#!/usr/bin/env bash
# Every Rust test of the workspace, with hung ones killed; the tests with real clients one at a time. cargo-nextest kills
# the one test that hangs (.config/nextest.toml); without it, `timeout` ends the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
    cargo test --locked --workspace --doc
    exec cargo nextest run --locked --workspace --no-fail-fast
fi
failed=0
timeout --kill-after=30 600 cargo test --locked --workspace --exclude tests --no-fail-fast || failed=$?
timeout --kill-after=30 2400 cargo test --locked -p tests --no-fail-fast -- --test-threads=1 || failed=$?
exit "$failed"
