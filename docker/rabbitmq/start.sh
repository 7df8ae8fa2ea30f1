#!/bin/sh
# Starts RabbitMQ with the password of its user from a secret file.
set -eu
RABBITMQ_DEFAULT_PASS=$(cat "/run/secrets/rabbitmq_password")
[ -n "$RABBITMQ_DEFAULT_PASS" ] || { echo "the secret rabbitmq_password is empty" >&2; exit 1; }
export RABBITMQ_DEFAULT_PASS
exec rabbitmq-server
