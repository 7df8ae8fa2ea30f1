# shellcheck shell=sh
# A new version without a refused webhook: containers are replaced one after the other.

upgrade() {
    conclude
    ids=$(query compose ps -q web)
    first=$(printf '%s\n' "$ids" | head -n 1)
    [ -n "$first" ] || [ "$dry_run" = yes ] || fail 4 "nothing runs here that could be upgraded" "docker/deploy.sh"
    prepare
    check
    [ -e "$rolling" ] || [ -z "$first" ] || note_what_runs
    build
    say "Asking doctor, with the new image"
    attempt compose run --rm --no-deps -T web doctor || [ "$forced" = yes ] || fail 1 "doctor found something; what runs was left as it is" "do what doctor says, or go on with docker/deploy.sh --upgrade --force"
    tag=$(chosen CHATBOT_TAG)
    [ -n "$tag" ] || tag=latest
    cure="to go back: docker tag ${previous} chatbot:${tag}, then docker/deploy.sh --upgrade --no-build --force"
    roll scheduler
    roll worker
    roll web
    start_all
    verify
    [ "$dry_run" = yes ] || rm -f "$rolling"
    say "Upgraded. The image before is kept as ${previous}."
    summary
}

# Written once: an upgrade that is repeated must not take new containers beside old ones for what was wanted, nor its
# own image for the one before.
note_what_runs() {
    running=$(query docker inspect --format '{{.Image}}' "$first")
    run docker tag "$running" "$previous"
    schedulers=$(wanted scheduler)
    workers=$(wanted worker)
    webs=$(wanted web)
    changes "write ${rolling}" || return 0
    printf '%s\n' "scheduler=${schedulers}" "worker=${workers}" "web=${webs}" >"${rolling}.part"
    mv "${rolling}.part" "$rolling"
}

# Replaces a service's containers one by one. Of web the new one comes first, so that one always answers behind the
# proxy; of the others the old one ends first, with its grace, because more of them might not fit into the memory.
roll() {
    role=$1
    count=$(wanted "$role")
    say "Replacing ${role}"
    for container in $(query compose ps --all --format '{{.ID}} {{.State}} {{.Health}}' "$role" | awk '$2 != "running" || $3 == "unhealthy" { print $1 }'); do
        run docker rm --force "$container"
    done
    [ "$role" != web ] || count=$((count + 1))
    ids=$(query compose ps -q "$role")
    for container in $ids; do
        [ "$role" != web ] || add_one
        run docker stop "$container"
        run docker rm "$container"
        [ "$role" = web ] || add_one
    done
}

add_one() {
    run compose up -d --no-deps --no-recreate --no-build --scale "${role}=${count}" "$role"
    wait_healthy "$role"
}
