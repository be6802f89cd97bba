#!/usr/bin/env bash
# The main job on real input: a batch goes in over HTTP and the same events come out of a native exporter (files) and of a WebAssembly exporter (an HTTP
# API). Then the `.wasm` is replaced, and nothing else: what arrives at the API changes.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

echo "building the relay and two example plugins (the first time takes some minutes)"
cargo build --quiet --workspace --bins --locked
build_guests
target=$(target_dir)
work=$(mktemp -d "$target/demo.XXXXXX")
relay= receiver=
cleanup() {
    [ -n "$relay" ] && kill "$relay" 2>/dev/null
    [ -n "$receiver" ] && kill "$receiver" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_true() { # waits up to 60 s for a command to succeed
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ] || ! kill -0 "$relay" 2>/dev/null; then
            echo "did not happen: $*" >&2
            cat "$work/relay.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

port=$(free_port) api=$(free_port)
python3 examples/quickstart/receiver.py "$api" "$work/api.txt" &
receiver=$!

mkdir "$work/plugins"
cat >"$work/flagpost.yaml" <<YAML
server: { host: 127.0.0.1, port: $port }
evaluation: none                    # a collector only; \`upstream: { url: … }\` puts it in front of an upstream relay
buffer: { path: $work/store, minFree: 1MiB }
exporters:
  - kind: file
    outputDir: $work/out
    flushInterval: 500
  - kind: wasm                      # plugins/acme.wasm, beside this file
    name: acme
    path: acme.wasm
    config: { endpoint: "http://127.0.0.1:$api/events", key: demo-key }
    allowedHosts: [ "POST http://127.0.0.1:$api" ]
    flushInterval: 500
YAML

start_relay() {
    "$target/debug/flagpost" --config "$work/flagpost.yaml" 2>>"$work/relay.log" &
    relay=$!
    until_true curl -sf "http://127.0.0.1:$port/health/ready"
}
send_batch() {
    curl -sf "http://127.0.0.1:$port/v1/data/collector" -H 'Content-Type: application/json' --data-binary @examples/quickstart/batch.json
}

echo; echo "--- flagpost.yaml"; sed "s|$work/||; s|$work|.|" "$work/flagpost.yaml"
cp "$target/guests/wasm32-wasip2/release/post_json.wasm" "$work/plugins/acme.wasm"
start_relay
echo; echo "--- POST /v1/data/collector"; send_batch
until_true python3 examples/quickstart/same.py "$work/out" "$work/api.txt"
echo; echo "--- out of the file exporter"; cat "$work"/out/*.json
echo; echo "--- out of acme.wasm, at its API"; cat "$work/api.txt"

kill "$relay"; wait "$relay"
cp "$target/guests/wasm32-wasip2/release/post_lines.wasm" "$work/plugins/acme.wasm"
: >"$work/api.txt"
start_relay
send_batch >/dev/null
until_true test -s "$work/api.txt"
echo; echo "--- the same batch after replacing nothing but plugins/acme.wasm"; cat "$work/api.txt"
grep -qx 'anna new-checkout=on' "$work/api.txt"
echo; echo "The same events came out of both; what the plugin does came from its .wasm alone."
