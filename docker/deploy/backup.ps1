# A deployment in one file, and back.

# The ledger in the store is the truth. A broker holds claim checks only, which the ledger publishes again, so what is
# in flight there is left out; RabbitMQ's users are kept, because its volume remembers their passwords.
function backup {
    conclude
    if (-not $dry_run -and -not (query compose ps -q store)) { fail 4 "the store does not run, so there is nothing to take a copy of" "docker/deploy.ps1" }
    if (-not $archive) { $script:archive = "$((Get-Location).Path)/${backups}/chatbot-$(stamp).tar.gz" }
    say "Writing the backup ${archive}"
    private $backups
    empty_stage
    run compose exec -T store sh -c 'REDISCLI_AUTH=$(cat /run/secrets/store_password) exec valkey-cli --rdb /data/backup.rdb'
    run compose cp store:/data/backup.rdb "${stage}/store.rdb"
    run compose exec -T store rm -f /data/backup.rdb
    if ($broker -eq 'rabbitmq') { backup_rabbitmq }
    if (changes "add ${env_file} and ${secrets}") {
        Copy-Item $env_file "${stage}/env"
        Copy-Item -Recurse $secrets "${stage}/secrets"
    }
    run tar -czf "${archive}.part" -C "$stage" .
    if (-not $dry_run) {
        only_ours "${archive}.part" '600'
        Move-Item -Force -LiteralPath "${archive}.part" -Destination $archive
    }
    drop_stage
    say "It holds secrets and what people wrote: keep it where nobody else reads, and not only on this machine."
    say "Not in it: certificates, which are issued again, and the numbers of Prometheus and Grafana."
}

function stamp {
    (Get-Date).ToUniversalTime().ToString('yyyyMMdd-HHmmss')
}

function backup_rabbitmq {
    run compose exec -T rabbitmq rabbitmqctl --quiet export_definitions /var/lib/rabbitmq/definitions.json
    run compose cp rabbitmq:/var/lib/rabbitmq/definitions.json "${stage}/definitions.json"
    run compose exec -T rabbitmq rm -f /var/lib/rabbitmq/definitions.json
}

function empty_stage {
    drop_stage
    private $stage
}

function drop_stage {
    if (-not $dry_run -and (Test-Path $stage)) { Remove-Item -Recurse -Force $stage }
}

function restore {
    conclude
    $of_archive = ''
    if (Test-Path $archive) {
        $tolerant = $true
        $of_archive = value_in DEPLOY_BROKER @(query tar -xzOf "$archive" ./env 2>$null)
        $tolerant = $false
    }
    if (-not $of_archive) { fail 4 "${archive} is not a backup that can be read" "name a file that --backup wrote" }
    $script:broker_wanted = $of_archive
    choose_broker
    agree
    private $backups
    empty_stage
    run tar -xzf "$archive" -C "$stage"
    replace_settings
    prepare
    build
    say "Stopping everything"
    run compose stop
    restore_store
    if ($broker -eq 'rabbitmq') { restore_rabbitmq }
    drop_stage
    check_settings
    start_all
    verify
    say "Restored. What was there before is in ${kept}, and in before-restore in the store's volume."
    summary
}

function agree {
    say "This replaces the ledger, the settings and the secrets of this deployment with those of ${archive}."
    say "What was accepted after that backup is forgotten, and replies that were sent after it may be sent again."
    if ($agreed -or $dry_run) { return }
    $answer = Read-Host 'Restore? [yes/no]'
    if ($answer -ne 'yes') { fail 4 "not restored" "answer yes, or give --yes" }
}

# The settings are there at any moment: without them a repeated run could not stop what still runs.
function replace_settings {
    $script:kept = "${backups}/before-restore-$(stamp)"
    if (-not (changes "replace ${env_file} and ${secrets}")) { return }
    private $kept
    if (Test-Path $env_file) { Copy-Item $env_file "${kept}/env" }
    if (Test-Path $secrets) { Move-Item $secrets "${kept}/secrets" }
    private $secrets
    Copy-Item "${stage}/secrets/*" $secrets
    if (-not $windows) { Get-ChildItem $secrets | ForEach-Object { chmod 644 $_.FullName } }
    write_file $env_file ((@(lines_of "${stage}/env") -join "`n") + "`n")
    only_ours $env_file '600'
}

# A server with appendonly reads nothing but its append-only files, whose base may be an RDB file. What is copied into a
# container belongs to root there, so that all must be able to read it.
function restore_store {
    say "Putting the ledger back"
    if (-not $dry_run -and -not $windows) { Get-ChildItem -File $stage | ForEach-Object { chmod 644 $_.FullName } }
    run compose create store
    run compose cp "${stage}/store.rdb" store:/data/restore.rdb
    run compose run --rm --no-deps -T --entrypoint sh store -c 'set -e; cd /data; rm -rf restoring; mkdir restoring; cat restore.rdb > restoring/appendonly.aof.1.base.rdb; echo file appendonly.aof.1.base.rdb seq 1 type b > restoring/appendonly.aof.manifest; if [ -d appendonlydir ]; then rm -rf before-restore; mv appendonlydir before-restore; fi; mv restoring appendonlydir; rm -f restore.rdb'
}

function restore_rabbitmq {
    run compose up -d --no-deps rabbitmq
    wait_healthy rabbitmq
    run compose cp "${stage}/definitions.json" rabbitmq:/var/lib/rabbitmq/definitions.json
    run compose exec -T rabbitmq rabbitmqctl --quiet import_definitions /var/lib/rabbitmq/definitions.json
    run compose exec -T rabbitmq rm -f /var/lib/rabbitmq/definitions.json
}
