# shellcheck shell=sh
# A deployment in one file, and back.

# The ledger in the store is the truth. A broker holds claim checks only, which the ledger publishes again, so what is
# in flight there is left out; RabbitMQ's users are kept, because its volume remembers their passwords.
backup() {
    conclude
    [ -n "$(query compose ps -q store)" ] || [ "$dry_run" = yes ] || fail 4 "the store does not run, so there is nothing to take a copy of" "docker/deploy.sh"
    [ -n "$archive" ] || archive="${PWD}/${backups}/chatbot-$(date -u +%Y%m%d-%H%M%S).tar.gz"
    say "Writing the backup ${archive}"
    private "$backups"
    empty_stage
    # shellcheck disable=SC2016 # the container reads its secret, so that it is in no list of processes here
    run compose exec -T store sh -c 'REDISCLI_AUTH=$(cat /run/secrets/store_password) exec valkey-cli --rdb /data/backup.rdb'
    run compose cp store:/data/backup.rdb "${stage}/store.rdb"
    run compose exec -T store rm -f /data/backup.rdb
    [ "$broker" != rabbitmq ] || backup_rabbitmq
    if changes "add ${env_file} and ${secrets}"; then
        cp "$env_file" "${stage}/env"
        cp -R "$secrets" "${stage}/secrets"
    fi
    run tar -czf "${archive}.part" -C "$stage" .
    [ "$dry_run" = yes ] || mv "${archive}.part" "$archive"
    drop_stage
    say "It holds secrets and what people wrote: keep it where nobody else reads, and not only on this machine."
    say "Not in it: certificates, which are issued again, and the numbers of Prometheus and Grafana."
}

backup_rabbitmq() {
    run compose exec -T rabbitmq rabbitmqctl --quiet export_definitions /var/lib/rabbitmq/definitions.json
    run compose cp rabbitmq:/var/lib/rabbitmq/definitions.json "${stage}/definitions.json"
    run compose exec -T rabbitmq rm -f /var/lib/rabbitmq/definitions.json
}

empty_stage() {
    drop_stage
    private "$stage"
}

drop_stage() {
    [ "$dry_run" = yes ] || rm -rf "$stage"
}

restore() {
    conclude
    of_archive=$(query tar -xzOf "$archive" ./env 2>/dev/null | value_in DEPLOY_BROKER) || of_archive=''
    [ -n "$of_archive" ] || fail 4 "${archive} is not a backup that can be read" "name a file that --backup wrote"
    broker_wanted=$of_archive
    choose_broker
    agree
    private "$backups"
    empty_stage
    run tar -xzf "$archive" -C "$stage"
    replace_settings
    prepare
    build
    say "Stopping everything"
    run compose stop
    restore_store
    [ "$broker" != rabbitmq ] || restore_rabbitmq
    drop_stage
    check_settings
    start_all
    verify
    say "Restored. What was there before is in ${kept}, and in before-restore in the store's volume."
    summary
}

agree() {
    say "This replaces the ledger, the settings and the secrets of this deployment with those of ${archive}."
    say "What was accepted after that backup is forgotten, and replies that were sent after it may be sent again."
    if [ "$agreed" = yes ] || [ "$dry_run" = yes ]; then return 0; fi
    printf 'Restore? [yes/no] '
    read -r answer || answer=no
    [ "$answer" = yes ] || fail 4 "not restored" "answer yes, or give --yes"
}

# The settings are there at any moment: without them a repeated run could not stop what still runs.
replace_settings() {
    kept="${backups}/before-restore-$(date -u +%Y%m%d-%H%M%S)"
    changes "replace ${env_file} and ${secrets}" || return 0
    private "$kept"
    [ ! -e "$env_file" ] || cp "$env_file" "${kept}/env"
    [ ! -e "$secrets" ] || mv "$secrets" "${kept}/secrets"
    private "$secrets"
    cp "${stage}/secrets/"* "${secrets}/"
    chmod 644 "${secrets}/"*
    cp "${stage}/env" "${env_file}.part"
    chmod 600 "${env_file}.part"
    mv "${env_file}.part" "$env_file"
}

# A server with appendonly reads nothing but its append-only files, whose base may be an RDB file. What is copied into a
# container belongs to root there, so that all must be able to read it.
restore_store() {
    say "Putting the ledger back"
    [ "$dry_run" = yes ] || chmod 644 "${stage}/"*.*
    run compose create store
    run compose cp "${stage}/store.rdb" store:/data/restore.rdb
    run compose run --rm --no-deps -T --entrypoint sh store -c 'set -e; cd /data; rm -rf restoring; mkdir restoring; cat restore.rdb > restoring/appendonly.aof.1.base.rdb; echo file appendonly.aof.1.base.rdb seq 1 type b > restoring/appendonly.aof.manifest; if [ -d appendonlydir ]; then rm -rf before-restore; mv appendonlydir before-restore; fi; mv restoring appendonlydir; rm -f restore.rdb'
}

restore_rabbitmq() {
    run compose up -d --no-deps rabbitmq
    wait_healthy rabbitmq
    run compose cp "${stage}/definitions.json" rabbitmq:/var/lib/rabbitmq/definitions.json
    run compose exec -T rabbitmq rabbitmqctl --quiet import_definitions /var/lib/rabbitmq/definitions.json
    run compose exec -T rabbitmq rm -f /var/lib/rabbitmq/definitions.json
}
