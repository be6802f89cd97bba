#!/usr/bin/env bash
# Generates the bindings of the C and the Go SDK anew, after a change of wit/flagpost.wit; what it writes is committed. Their compilers know nothing of
# components, so authors in these languages get the bindings ready made.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="$(target_dir)/tools/wit-bindgen"
[ -x "$tools/bin/wit-bindgen" ] ||
    CARGO_PROFILE_DEV_DEBUG=0 cargo install -q wit-bindgen-cli --version 0.63.0 --locked --debug --no-default-features --features c,go --root "$tools"

bindings_of_c() { # world, directory: both worlds' files and names are `plugin`'s, so that one flagpost.c does for both
    "$tools/bin/wit-bindgen" c wit --world "$1" --rename-world plugin --no-object-file --out-dir "$2"
    # Forces an object file with the world to be linked; `flagpost plugin build` puts the world into the finished module instead.
    sed -i '/Ensure that the \*_component_type.o object is linked in/,$d' "$2/plugin.c"
}
bindings_of_c plugin plugins/sdk/c
bindings_of_c managed-plugin plugins/sdk/c/managed

go=plugins/sdk/go/internal/wit
rm -rf "$go/imports" "$go/exports" "$go/managed_exports"
bindings_of_go() { # world, directory of its exports, interface, package that the exports call
    local made
    made=$(mktemp -d)
    "$tools/bin/wit-bindgen" go wit --world "$1" --pkg-name flagpost/internal/wit --out-dir "$made"
    # The generator's own support package is not needed: ours knows when Go may collect garbage inside of a component.
    find "$made" -name '*.go' -exec sed -i 's#go.bytecodealliance.org/pkg/wit/#flagpost/internal/wit/#' {} +
    sed -i "s#flagpost/internal/wit/exports/export_flagpost_plugin_$3#flagpost/internal/$4#; s#export_flagpost_plugin_$3\.#$4.#" "$made/exports/wit_exports/wit_exports.go"
    # What both worlds import is the same.
    mkdir -p "$go/imports"
    cp -r "$made/imports/." "$go/imports/"
    mv "$made/exports" "$go/$2"
    rm -rf "$made"
}
bindings_of_go plugin exports exporter exporter
bindings_of_go managed-plugin managed_exports managed_exporter managed
