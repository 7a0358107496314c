#!/bin/sh
# Certificates between the engine and Temporal: deploy/certificates.sh [FOLDER]
#
# Makes two authorities (Temporal's nodes; who may talk to Temporal) and what they sign, in deploy/tls by default. Run it
# again to renew what they signed: the authorities stay, files are written in place, the engine reads them anew within 30 s.
# As root the keys become those of the containers' users; else give them away yourself (see the end).
set -eu
umask 077
folder=${1:-$(dirname "$0")/tls}
days=400
mkdir -p "$folder"
cd "$folder"

authority() { # NAME
    [ -e "$1-ca.key" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=delivery engine $1" -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
        -addext keyUsage=critical,keyCertSign -keyout "$1-ca.key" -out "$1-ca.pem" 2>/dev/null
}

issue() { # NAME AUTHORITY EXTENDED_KEY_USAGE
    scratch=$(mktemp -d)
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$1" "$3" >"$scratch/ext"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$scratch/key" -out "$scratch/csr" 2>/dev/null
    openssl x509 -req -in "$scratch/csr" -CA "$2-ca.pem" -CAkey "$2-ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days $days -extfile "$scratch/ext" -out "$scratch/pem" 2>/dev/null
    cat "$scratch/pem" >"$1.pem" # in place: containers have this very file
    cat "$scratch/key" >"$1.key"
    rm -r "$scratch"
}

authority server
authority client
issue temporal server serverAuth,clientAuth # its nodes talk to each other with it, too
issue engine client clientAuth
issue temporal-ui client clientAuth
issue temporal-setup client clientAuth
chmod 0444 ./*.pem
chmod 0400 ./*-ca.key
# users of the images: the engine's; that of Temporal, its tools and its UI
if [ "$(id -u)" = 0 ]; then
    chown 10001 engine.key
    chown 1000 temporal.key temporal-setup.key temporal-ui.key
else
    echo "now: chown 10001 engine.key; chown 1000 temporal.key temporal-setup.key temporal-ui.key (as root)"
fi
