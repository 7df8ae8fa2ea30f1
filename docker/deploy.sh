#!/bin/sh
# Deploys the service on this machine with Docker Compose; --help tells how.
# deploy.ps1 is its twin for Windows: function by function it says the same and calls the same, and a test compares them.
# Every step can be repeated, so a run that was interrupted is taken up by running the same command again.
set -eu
umask 077

here=$PWD
cd -- "$(dirname -- "$0")/.."
env_file=docker/.env
secrets=docker/secrets
backups=docker/backups
stage=docker/backups/.part
rolling=docker/.rolling
previous=chatbot:previous

what=deploy broker_wanted='' domain_wanted='' archive='' building=yes agreed=no forced=no dry_run=no limit=300
settings='' broker='' channels=generic engine=no problems=0
cure="repair what is named above, then run the same command again"

usage() {
    cat <<'END'
Usage: docker/deploy.sh [WHAT] [OPTION]...

Deploys the service on this machine with Docker Compose. Run it as often as you like: what is there stays.

What (unless given: check, make what is missing, build, start, wait until all is healthy, verify):
  --upgrade            build this version, then replace schedulers, workers and web one after the other
  --down               stop and remove the containers; volumes, settings and secrets stay
  --backup [FILE]      write the ledger, the settings and the secrets to FILE, in docker/backups unless given
  --restore FILE       stop, put back what --backup wrote, start and verify
  --status             show the containers and their health
  --logs [WORD]...     show the logs; the words go to docker compose logs
  --help               show this

Options:
  --broker NAME        redis, which is the default, or rabbitmq; remembered in docker/.env
  --domain NAME        the public name of this machine, for the certificate; remembered in docker/.env
  --set NAME=VALUE     write a setting to docker/.env; as often as needed
  --no-build           use the image that is there
  --timeout SECONDS    how long to wait for health, 300 unless given
  --force              upgrade although doctor found something
  --yes                restore without asking
  --dry-run            print each command, change nothing

Status: 0 done; 1 a step failed; 2 wrong usage; 3 something is missing, and nothing was started; 4 refused, nothing was changed;
130 interrupted.

Examples:
  docker/deploy.sh --domain bot.example.com --set CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies
  docker/deploy.sh --broker rabbitmq --dry-run
  docker/deploy.sh --backup
  docker/deploy.sh --upgrade
  docker/deploy.sh --logs --follow web worker
END
}

. docker/deploy/calls.sh
. docker/deploy/settings.sh
. docker/deploy/checks.sh
. docker/deploy/containers.sh
. docker/deploy/upgrade.sh
. docker/deploy/backup.sh

deploy() {
    prepare
    check
    build
    start_all
    verify
    summary
}

down() {
    conclude
    run compose --profile '*' down --remove-orphans
    say "The containers are gone. Volumes, ${env_file} and ${secrets} stay: docker/deploy.sh starts it again."
}

# --- the command line ---

misused() {
    printf 'error: %s\n  cure: %s\n' "$1" "docker/deploy.sh --help" >&2
    exit 2
}

absolute() {
    case "$1" in
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$here" "$1" ;;
    esac
}

choose() {
    wanted=$1
    [ "$what" = "deploy" ] || misused "--${what} and --${wanted} exclude each other"
    what=$wanted
}

valued() {
    word=$1
    case "${2:-}" in '' | -*) misused "${word} needs a value" ;; esac
}

add_setting() {
    case "$1" in
        *"'"* | *"
"*) misused "--set takes no quotes and no line ends" ;;
    esac
    printf '%s\n' "$1" | grep -q '^[A-Z][A-Z0-9_]*=' || misused "--set takes NAME=VALUE"
    settings="${settings}$1
"
}

option() {
    valued "$1" "${2:-}"
    case "$1" in
        --broker)
            case "$2" in redis | rabbitmq) broker_wanted=$2 ;; *) misused "--broker is redis or rabbitmq" ;; esac ;;
        --domain)
            case "$2" in *[!A-Za-z0-9.-]*) misused "--domain takes a name such as bot.example.com" ;; esac
            domain_wanted=$2 ;;
        --set) add_setting "$2" ;;
        --timeout)
            case "$2" in *[!0-9]*) misused "--timeout takes seconds" ;; esac
            limit=$2 ;;
    esac
}

# `set --` cannot hand the words of --logs out of a function, so this part has none.
while [ $# -gt 0 ]; do
    case "$1" in
        --broker | --domain | --set | --timeout)
            option "$1" "${2:-}"
            shift ;;
        --restore)
            choose restore
            valued "$1" "${2:-}"
            archive=$(absolute "$2")
            shift ;;
        --backup)
            choose backup
            case "${2:-}" in
                '' | -*) ;;
                *)
                    archive=$(absolute "$2")
                    shift ;;
            esac ;;
        --upgrade | --down | --status) choose "${1#--}" ;;
        --logs)
            choose logs
            shift
            break ;;
        --no-build) building=no ;;
        --force) forced=yes ;;
        --yes) agreed=yes ;;
        --dry-run) dry_run=yes ;;
        --help)
            usage
            exit 0 ;;
        *)
            word=$1
            misused "unknown: ${word}" ;;
    esac
    shift
done

trap 'printf "\nInterrupted. Run the same command again: what is done stays done.\n" >&2; exit 130' INT TERM
check_docker
[ "$what" = restore ] || choose_broker
case "$what" in
    status)
        conclude
        query compose ps --all ;;
    logs)
        conclude
        query compose logs --tail 200 "$@" ;;
    *) "$what" ;;
esac
