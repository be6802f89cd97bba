#!/usr/bin/env bash
# Installs the toolchains of plugin authors out of their own registries, as the projects of `flagpost plugin new` pin them, under cargo's target directory
# (tools/guest-*). Quick when nothing changed. Compiles no Rust: it runs beside a build. What a test needs and does not find fails it when CI=true
# (tests/support/authors.rs).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="$(target_dir)/tools"
mkdir -p "$tools"
# One at a time: test runs share the directory.
exec 9>"$tools/guests.lock"
flock 9

# Makes a directory anew when the files that pin its content changed: install DIRECTORY FUNCTION FILE...
install() {
    local directory="$tools/$1" function=$2 want
    shift 2
    want=$({ declare -f "$function"; cat "$@"; } | sha256sum | cut -d' ' -f1)
    [ "$(cat "$directory/.installed" 2>/dev/null)" = "$want" ] && return
    echo "installing ${directory##*/}"
    rm -rf "$directory"
    mkdir -p "$directory"
    cp "$@" "$directory/"
    "$function" "$directory"
    echo "$want" >"$directory/.installed"
}

packages_of_npm() { npm --prefix "$1" ci --no-fund --no-audit --loglevel error; }

packages_of_python() {
    python3 -m venv "$1/.venv"
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1/requirements.txt"
}

need node nodejs
need npm npm
need go golang-go
examples=examples/exporters
install guest-js packages_of_npm $examples/javascript/package.json $examples/javascript/package-lock.json
install guest-ts packages_of_npm $examples/typescript/package.json $examples/typescript/package-lock.json
install guest-python packages_of_python $examples/python/requirements.txt
install guest-c packages_of_python $examples/c/requirements.txt
