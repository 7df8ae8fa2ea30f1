#!/usr/bin/env bash
# Installs the servers that the tests run on, without starting any (the tests start private ones), promtool, which checks
# the alert rules, shellcheck, and a browser with its driver.
set -euo pipefail

rabbitmq_paths=(
    /usr/lib/rabbitmq/bin/rabbitmq-server
    /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server
    /usr/local/opt/rabbitmq/sbin/rabbitmq-server
)

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
found=
for path in "${rabbitmq_paths[@]}"; do [ ! -e "$path" ] || found=$path; done
[ -n "$found" ] || missing+=(rabbitmq-server)
command -v promtool >/dev/null || missing+=(prometheus)
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v shellcheck >/dev/null || missing+=(shellcheck)
[ ${#missing[@]} -gt 0 ] || exit 0

fail() {
    echo "The tests need ${missing[*]}: $1" >&2
    exit 1
}

[ "$(uname)" != Darwin ] || fail "brew install redis rabbitmq prometheus shellcheck, and brew install --cask chromium chromedriver"
command -v apt-get >/dev/null || fail "install it with your system's packages (the tests start it themselves)."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}
[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "as root, apt-get install ${missing[*]}"

# Debian asks this file before it starts a service; one that exists already is the machine's own decision.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
ours=("$log")
trap 'as_root rm -f "${ours[@]}"' EXIT
if [ ! -e "$policy" ]; then
    ours+=("$policy")
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi

epmds() { grep -lx epmd /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | sort || true; }
epmds_before=$(epmds)

echo "Installing ${missing[*]} (a minute or two) ..."
as_root apt-get update -qq || echo "apt-get update had errors; trying with the lists that are there." >&2
as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >"$log" 2>&1 || {
    cat "$log" >&2
    fail "apt-get could not install it."
}

# The packages switch their services on for the next boot.
if [ -d /run/systemd/system ]; then
    units=()
    for package in "${missing[@]}"; do
        case "$package" in
            rabbitmq-server) units+=(rabbitmq-server.service epmd.socket epmd.service) ;;
            redis-server | prometheus) units+=("$package.service") ;;
        esac
    done
    [ ${#units[@]} -eq 0 ] || as_root systemctl disable --quiet --now "${units[@]}" || true
fi
# Erlang's port mapper listens on all interfaces, and outlives the installer that happened to start it.
comm -13 <(echo "$epmds_before") <(epmds) | while read -r pid; do
    [ -z "$pid" ] || as_root kill "$pid" || true
done
echo "Installed ${missing[*]}."
