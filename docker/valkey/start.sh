#!/bin/sh
# Starts Valkey with its password from a secret file, which an argument would show to whoever lists processes.
set -eu
password=$(cat "/run/secrets/store_password")
[ -n "$password" ] || { echo "the secret store_password is empty" >&2; exit 1; }
exec valkey-server /etc/valkey/valkey.conf - <<CONF
requirepass "$password"
CONF
