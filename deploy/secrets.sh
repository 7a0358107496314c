#!/bin/sh
# Passwords and keys: deploy/secrets.sh [FOLDER]
#
# Makes those that are missing, in deploy/secrets by default, and leaves those that are there. Nobody but root enters the
# folder; each container sees the files that compose.yaml gives it, and no other. Keep a copy of the folder elsewhere:
# without encryption_keys and codec_keys a backup of the databases cannot be read.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"

put() { # NAME COMMAND...: what the command prints; whole or not at all
    [ ! -s "$1" ] || return 0
    name=$1
    shift
    "$@" >".$name.new"
    mv ".$name.new" "$name"
}

put postgres_password openssl rand -hex 24
put engine_database_password openssl rand -hex 24
put temporal_database_password openssl rand -hex 24
put encryption_keys openssl rand -base64 32
put codec_keys openssl rand -base64 32
put jwt.pem openssl genrsa 3072
# Of this one a part is another file: made anew each time, so that a new password is in both.
printf 'postgresql+psycopg://delivery:%s@postgres:5432/delivery\n' "$(cat engine_database_password)" >.database_url.new
mv .database_url.new database_url
# Of Temporal's UI: its provider gives it, put it there yourself.
[ -e ui_client_secret ] || : >ui_client_secret

# Containers' users read them; who may come that far, the folder says. A signing key must be its reader's alone.
chmod 0444 ./*
chmod 0400 jwt.pem
if [ "$(id -u)" = 0 ]; then
    chown 10001 jwt.pem # the engine's user in its image
else
    echo "now, as root: chown 10001 $folder/jwt.pem"
fi
