#!/usr/bin/env bash
# A certificate authority, the broker's certificate and a client's (CN=alice), in the directory that is given.
set -euo pipefail
cd "$1"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj /CN=test-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
certificate() { # name, common name, purposes, other names
    openssl req "${key[@]}" -keyout "$1.key" -out "$1.csr" -subj "/CN=$2" 2>/dev/null
    printf 'extendedKeyUsage=%s\nsubjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$3" "$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.crt" -days 3650 -extfile "$1.ext" 2>/dev/null
}
certificate server localhost serverAuth,clientAuth DNS:localhost,IP:127.0.0.1
certificate client alice clientAuth DNS:alice
cat server.key server.crt ca.pem >server.pem
