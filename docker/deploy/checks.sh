# shellcheck shell=sh
# What has to be there before anything is started; each lack is told with its cure.

channel() {
    case ",${channels}," in *",$1,"* | *",$1="*) return 0 ;; esac
    return 1
}

# What --set gives now counts before what the file says.
chosen() {
    given=$(printf '%s' "$settings" | value_in "$1")
    [ -n "$given" ] || given=$(setting "$1")
    printf '%s' "$given"
}

check_settings() {
    channels=$(chosen CHATBOT_CHANNELS)
    [ -n "$channels" ] || channels=generic
    if channel generic && [ -z "$(chosen CHATBOT_GENERIC_OUTBOUND_URL)" ]; then
        problem "CHATBOT_GENERIC_OUTBOUND_URL, where replies go, is not set" "docker/deploy.sh --set CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies"
    fi
    channel whatsapp || return 0
    for name in whatsapp_app_secret whatsapp_access_token; do
        [ -s "${secrets}/${name}" ] || problem "${secrets}/${name} is empty" "write what Meta gave you into that file, without a line end"
    done
}

check_docker() {
    if ! command -v docker >/dev/null 2>&1; then
        problem "Docker is not installed" "https://docs.docker.com/engine/install/"
        return 0
    fi
    engine=yes
    facts=$(query docker info --format '{{.MemTotal}} {{.DockerRootDir}}' 2>/dev/null) || engine=no
    [ "$engine" = yes ] || problem "the Docker engine does not answer" "start it, or let this user use it: https://docs.docker.com/engine/install/linux-postinstall/"
}

check_compose() {
    version=$(query docker compose version --short 2>/dev/null) || version=none
    version=${version#v}
    major=${version%%.*} minor=${version#*.}
    minor=${minor%%.*}
    case "${major}${minor}" in '' | *[!0-9]*) major=0 minor=0 ;; esac
    if [ "$major" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt 24 ]; }; then
        problem "Docker Compose 2.24 or newer is needed, found: ${version}" "https://docs.docker.com/compose/install/"
    fi
}

check_room() {
    memory=${facts%% *} place=${facts#* }
    [ "$memory" -ge 1900000000 ] || problem "Docker has less than 2 GB of memory" "a bigger machine, or more memory in the settings of Docker Desktop"
    # Docker Desktop keeps its data in a machine of its own, whose path is not here.
    [ -d "$place" ] || place=.
    free=$(df -Pk "$place" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge 4000000 ] || problem "less than 4 GB of disk space are free at ${place}" "docker system prune, or a bigger disk"
}

check_ports() {
    [ -z "$(query compose ps -q caddy 2>/dev/null)" ] || return 0
    port_is_free CHATBOT_HTTP_PORT 80
    port_is_free CHATBOT_HTTPS_PORT 443
    port_is_free CHATBOT_DASHBOARD_PORT 5555
}

port_is_free() {
    name=$1
    port=$(chosen "$name")
    [ -n "$port" ] || port=$2
    ! listening "$port" || problem "port ${port} is in use" "stop the program that listens on it, or take another one: docker/deploy.sh --set ${name}=..."
}

listening() {
    { ss -ltn 2>/dev/null || netstat -an 2>/dev/null || true; } | awk -v port="$1" '
        /LISTEN/ { for (i = 1; i <= NF; i++) if ($i ~ "[.:]" port "$") found = 1 }
        END { exit !found }'
}

conclude() {
    [ "$problems" -gt 0 ] || return 0
    [ "$dry_run" = yes ] || fail 3 "things that are missing: ${problems}; nothing was started" "repair them as said above, then run the same command again"
    say "Without --dry-run this would end here."
}

check() {
    say "Checking this machine"
    if [ "$engine" = yes ]; then
        check_compose
        check_room
        check_ports
    fi
    check_settings
    conclude
}

choose_broker() {
    remembered=$(setting DEPLOY_BROKER)
    broker=${remembered:-redis}
    if [ -z "$broker_wanted" ] || [ "$broker_wanted" = "$broker" ]; then return 0; fi
    # Without an engine that answers nobody knows what runs.
    [ "$engine" = yes ] || conclude
    running=$(query compose ps -q)
    if [ -n "$remembered" ] && [ -n "$running" ]; then
        fail 4 "this deployment runs with ${broker}, not with ${broker_wanted}" "docker/deploy.sh --down, then docker/deploy.sh --broker ${broker_wanted}: the ledger stays in the store, and is published to the new broker"
    fi
    broker=$broker_wanted
}
