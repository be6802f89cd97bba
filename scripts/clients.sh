#!/usr/bin/env bash
# Installs what the end-to-end tests use of other ecosystems, pinned, under cargo's target directory: real clients from PyPI, npm and
# Maven Central, and a browser. Quick when nothing changed. Runs beside a build: it compiles nothing.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="$(target_dir)/tools"
mkdir -p "$tools"
# One at a time: test runs share the directory.
exec 9>"$tools/lock"
flock 9

# Runs a command in a fresh directory, once per content of some files: install DIRECTORY FUNCTION FILE...
install() {
    local directory="$tools/$1" function=$2 want
    shift 2
    want=$(cat "$@" "${BASH_SOURCE[0]}" | sha256sum | cut -d' ' -f1)
    [ "$(cat "$directory/.installed" 2>/dev/null)" = "$want" ] && return
    echo "installing ${directory##*/}"
    rm -rf "$directory"
    mkdir -p "$directory"
    "$function" "$directory"
    echo "$want" >"$directory/.installed"
}

python_environment() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --no-deps --requirement tests/requirements.txt
}

python_old() {
    "$tools/venv/bin/pip" install --quiet --no-deps --target "$1" --requirement tests/clients/python/requirements-0.5.0.txt
}

javascript() {
    cp tests/clients/javascript/package.json tests/clients/javascript/package-lock.json "$1"
    # No install scripts: esbuild's program is in a package of its own.
    npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
}

java_libraries() {
    local maven=(mvn --quiet --batch-mode -Dmaven.repo.local="$tools/maven" -Dstyle.color=never --file tests/clients/java/pom.xml
        dependency:copy-dependencies -DoutputDirectory="$1")
    # What Maven has fetched before is enough, and then no network is needed.
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}"
}

need node nodejs
need npm npm
need javac default-jdk-headless
need mvn maven
need chromium chromium --no-install-recommends
install venv python_environment tests/requirements.txt
install python-0.5.0 python_old tests/clients/python/requirements-0.5.0.txt tests/requirements.txt
install javascript javascript tests/clients/javascript/package.json tests/clients/javascript/package-lock.json
install java java_libraries tests/clients/java/pom.xml
