# shellcheck shell=sh
# How the parts of deploy.sh speak, and call other programs.

say() {
    printf '%s\n' "$1"
}

fail() {
    printf 'error: %s\n  cure: %s\n' "$2" "$3" >&2
    exit "$1"
}

problem() {
    problems=$((problems + 1))
    printf 'missing: %s\n  cure: %s\n' "$1" "$2" >&2
}

show() {
    line='+'
    for word in "$@"; do
        case "$word" in
            '' | *[!A-Za-z0-9_./:=@,+-]*) line="${line} '${word}'" ;;
            *) line="${line} ${word}" ;;
        esac
    done
    say "$line"
}

# Four ways to change something or to look: `run` must succeed, `attempt` tells whether it did, `changes` is asked before
# a change of files, and `query` changes nothing.
run() {
    attempt "$@" || fail 1 "this did not succeed: ${line}" "read what it said above; then run the same command again: what is done stays done"
}

attempt() {
    if [ "$1" = compose ]; then
        shift
        set -- docker compose -f "compose.${broker}.yml" --env-file "$env_file" "$@"
    fi
    show "$@"
    [ "$dry_run" = yes ] || "$@"
}

query() {
    if [ "$1" = compose ]; then
        shift
        # Compose needs the settings to read its file; before there are any, nothing of ours runs.
        [ -e "$env_file" ] || return 0
        set -- docker compose -f "compose.${broker}.yml" --env-file "$env_file" "$@"
    fi
    if [ "$engine" = no ] && [ "$1" = docker ]; then return 0; fi
    "$@" || return 1
}

changes() {
    say "+ $1"
    [ "$dry_run" = no ]
}
