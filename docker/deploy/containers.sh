# shellcheck shell=sh
# Starting containers, and waiting until they are healthy.

# How many containers a service has to have: as many as it has, or had when an upgrade began that did not end yet.
wanted() {
    if [ -e "$rolling" ]; then
        value_in "$1" <"$rolling"
    else
        ids=$(query compose ps -q "$1") || return 1
        printf '%s' "$ids" | grep -c . || true
    fi
}

scales() {
    for service in scheduler worker web; do
        count=$(wanted "$service") || return 1
        [ "$count" -eq 0 ] || printf '%s\n' --scale "${service}=${count}"
    done
}

states() {
    query compose ps --all --format '{{.Service}} {{.State}} {{.Health}}' "$@"
}

unwell() {
    sick=$1
    query compose ps --all >&2 || true
    [ -n "$sick" ] || fail 1 "this did not succeed: ${line}" "$cure"
    say "Look into it: docker compose -f compose.${broker}.yml --env-file ${env_file} logs --tail 100 ${sick}" >&2
    fail 1 "not healthy: ${sick}" "$cure"
}

# Waits until all containers of the services, or of all services, run and are healthy; looks every two seconds.
wait_healthy() {
    [ "$dry_run" = no ] || return 0
    waited=0 restarts=0 told=''
    while :; do
        seen=$(states "$@")
        bad=$(printf '%s\n' "$seen" | awk '$2 ~ /^(exited|dead)$/ || $3 == "unhealthy" { print $1 }' | sort -u | xargs)
        waiting=$(printf '%s\n' "$seen" | awk 'NF && ($2 != "running" || $3 == "starting") { print $1 }' | sort -u | xargs)
        case "$seen" in *restarting*) restarts=$((restarts + 1)) ;; esac
        [ -n "$seen" ] || unwell "$*"
        [ -z "$bad" ] || unwell "$bad"
        [ -n "$waiting" ] || break
        if [ "$restarts" -ge 5 ] || [ "$waited" -ge "$limit" ]; then unwell "$waiting"; fi
        [ "$waiting" = "$told" ] || say "  waiting for ${waiting}"
        told=$waiting waited=$((waited + 2))
        sleep 2
    done
}

start_all() {
    say "Starting"
    scaled=$(scales)
    # shellcheck disable=SC2086 # each word of it is an argument
    attempt compose up -d --remove-orphans --wait-timeout "$limit" $scaled || {
        bad=$(states | awk '$2 ~ /^(exited|dead|restarting)$/ || $3 == "unhealthy" { print $1 }' | sort -u | xargs)
        unwell "$bad"
    }
    wait_healthy
}

build() {
    [ "$building" = yes ] || return 0
    say "Building the image"
    run compose build web
}

verify() {
    if ! channel generic; then
        say "Not verified: that needs the channel generic, or a number that WhatsApp knows."
        return 0
    fi
    say "Verifying that it keeps its guarantees"
    attempt compose exec -T web chatbot verify || fail 1 "the service runs, but did not show its guarantees" "docker/deploy.sh --logs web worker; then run the same command again"
}

# Without a name there is no certificate; Caddy then listens for plain HTTP.
public_address() {
    domain=$domain_wanted
    [ -n "$domain" ] || domain=$(chosen CHATBOT_DOMAIN)
    case "$domain" in
        '' | :*) printf 'http://localhost' ;;
        *) printf 'https://%s' "$domain" ;;
    esac
}

summary() {
    address=$(public_address)
    say "Webhooks:"
    for name in $(printf '%s' "$channels" | tr ',' ' '); do
        name=${name%%=*}
        say "  ${address}/webhooks/${name}"
    done
    port=$(chosen CHATBOT_DASHBOARD_PORT)
    [ -n "$port" ] || port=5555
    say "Console: http://127.0.0.1:${port}/, queues: http://127.0.0.1:${port}/dashboard/, on this machine or after: ssh -L ${port}:127.0.0.1:${port} MACHINE"
    say "The login is that of CHATBOT_ADMIN_USER, its password is in ${secrets}/admin_password"
    say "What goes on: docker/deploy.sh --status, and docker/deploy.sh --logs"
}
