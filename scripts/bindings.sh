#!/usr/bin/env bash
# Generates the bindings of the C and the Go SDK anew, after a change of wit/flagpost.wit; what it writes is committed. Their compilers know nothing of
# components, so authors in these languages get the bindings ready made.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="$(target_dir)/tools/wit-bindgen"
[ -x "$tools/bin/wit-bindgen" ] ||
    CARGO_PROFILE_DEV_DEBUG=0 cargo install -q wit-bindgen-cli --version 0.63.0 --locked --debug --no-default-features --features c,go --root "$tools"

"$tools/bin/wit-bindgen" c wit --world plugin --no-object-file --out-dir plugins/sdk/c
# Forces an object file with the world to be linked; `flagpost plugin build` puts the world into the finished module instead.
sed -i '/Ensure that the \*_component_type.o object is linked in/,$d' plugins/sdk/c/plugin.c

go=plugins/sdk/go/internal/wit
rm -rf "$go/imports" "$go/exports"
"$tools/bin/wit-bindgen" go wit --world plugin --pkg-name flagpost/internal/wit --out-dir "$go"
# The generator's own support package is not needed: ours knows when Go may collect garbage inside of a component.
find "$go/imports" "$go/exports" -name '*.go' -exec sed -i 's#go.bytecodealliance.org/pkg/wit/#flagpost/internal/wit/#' {} +
sed -i 's#flagpost/internal/wit/exports/export_flagpost_plugin_exporter#flagpost/internal/exporter#; s#export_flagpost_plugin_exporter\.#exporter.#' "$go/exports/wit_exports/wit_exports.go"
