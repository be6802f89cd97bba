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

# Downloads, and what other ecosystems compile, beside what cargo compiles.
mkdir -p "$(target_dir)"
scripts/servers.sh >"$(target_dir)/servers.log" 2>&1 &
servers=$!
installed_servers() { wait "$servers" || { cat "$(target_dir)/servers.log"; return 1; }; }

stage "format" cargo fmt --all --check
stage "dependency rules" python3 scripts/check-dependencies.py
stage "guests" build_guests
stage "build" cargo build --workspace --all-targets --locked
stage "servers (the rest of their installation)" installed_servers
stage "tests" cargo test --workspace --locked --quiet
stage "lints" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
stage "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --locked --quiet

echo "== seconds per stage"
printf '%s\n' "${stages[@]}"
printf '%6d s  all\n' "$SECONDS"
