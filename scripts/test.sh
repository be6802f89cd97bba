#!/usr/bin/env bash
# Every test there is, from a fresh machine to the last line. Prints the seconds of each stage.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

stage() {
    local name=$1 started=$SECONDS
    shift
    echo "== $name"
    "$@"
    stages+=("$(printf '%6d s  %s' $((SECONDS - started)) "$name")")
}
stages=()

# Beside the build, whose end it should not outlast: downloads, and what other ecosystems compile.
tools_log=$(mktemp)
{ scripts/clients.sh && scripts/servers.sh && scripts/guests.sh && scripts/deploy-tools.sh; } >"$tools_log" 2>&1 &
tools=$!
installed_tools() { wait "$tools" || { cat "$tools_log" && return 1; }; }

stage "format" cargo fmt --all --check
stage "dependency rules" python3 scripts/check-dependencies.py
stage "guests" build_guests
stage "build" cargo build --workspace --all-targets --locked
stage "tools" installed_tools
stage "tests" cargo test --workspace --locked --quiet
stage "sdk" cargo test --quiet --locked --manifest-path plugins/sdk/rust/Cargo.toml --target-dir "$(target_dir)/guests"
stage "plugins" cargo test --quiet --locked --manifest-path plugins/Cargo.toml --target-dir "$(target_dir)/guests"
stage "lints" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
stage "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --locked --quiet

echo "== seconds per stage"
printf '%s\n' "${stages[@]}"
printf '%6d s  all\n' "$SECONDS"
