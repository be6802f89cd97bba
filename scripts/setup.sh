# Sourced by the other scripts: brings a fresh machine to where cargo can build everything. Quiet and quick when nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

need() { # program, Debian package, further options of apt-get
    command -v "$1" >/dev/null 2>&1 && return
    echo "installing $2 (for $1)"
    # Two scripts may install at the same time.
    local install=(apt-get install -y -q -o DPkg::Lock::Timeout=600 "${@:3}" "$2")
    "${install[@]}" >/dev/null 2>&1 || { apt-get update -q -o DPkg::Lock::Timeout=600 >/dev/null && "${install[@]}" >/dev/null; }
}

need_header() { # header, Debian package
    echo "#include <$1>" | cc -E - >/dev/null 2>&1 || need "header $1" "$2"
}

[ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
# ring, SQLite, zstd and librdkafka are compiled from C and C++; librdkafka uses the system's OpenSSL and curl.
need cc gcc
need c++ g++
need make make
need pkg-config pkg-config
need_header openssl/ssl.h libssl-dev
need_header curl/curl.h libcurl4-openssl-dev
need python3 python3
python3 -c 'import ensurepip' 2>/dev/null || need ensurepip python3-venv
need curl curl
# Debian's rustup, when the machine has none; it then installs what rust-toolchain.toml pins.
command -v rustup >/dev/null 2>&1 || need rustup rustup
rustup toolchain install --no-self-update >/dev/null 2>&1 || rustup toolchain install --no-self-update

target_dir() { cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'; }

# The guests: components for wasm32-wasip2, built by the plain Rust toolchain into target/guests.
build_guests() {
    local manifest
    for manifest in examples/exporters/rust*/Cargo.toml plugins/Cargo.toml; do
        cargo build --quiet --release --locked --target wasm32-wasip2 --manifest-path "$manifest" --target-dir "$(target_dir)/guests"
    done
}
