# shellcheck shell=sh
# Settings in docker/.env, and secrets in docker/secrets/: made once, never overwritten, never printed.

setting() {
    source=$env_file
    [ -e "$source" ] || source=docker/env.production
    value_in "$1" <"$source"
}

value_in() {
    sed -n "s/^$1=//p" | tail -n 1 | sed "s/^'\(.*\)'\$/\1/; s/^\"\(.*\)\"\$/\1/"
}

remember() {
    name=$1
    [ "$(setting "$name")" != "$2" ] || return 0
    changes "set ${name} in ${env_file}" || return 0
    # Single quotes keep Compose from reading a dollar sign as a variable.
    NAME=$name VALUE="'$2'" awk '
        function written() { done = 1; return ENVIRON["NAME"] "=" ENVIRON["VALUE"] }
        !done && (index($0, ENVIRON["NAME"] "=") == 1 || index($0, "#" ENVIRON["NAME"] "=") == 1) { $0 = written() }
        { print }
        END { if (!done) print written() }' "$env_file" >"${env_file}.part"
    mv "${env_file}.part" "$env_file"
}

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Docker mounts a secret's file with its owner and mode, and each image has a user of its own. So the files can be read
# by all, in a directory that only its owner can enter: on the host nobody gets to them, and a mount needs no way there.
secret() {
    path="${secrets}/$1"
    [ ! -s "$path" ] || return 0
    if [ "$2" = given ] && [ -e "$path" ]; then return 0; fi
    changes "make ${path}" || return 0
    case "$2" in
        random) random >"${path}.part" ;;
        # Hexadecimal digits are base64, too: these are 48 bytes, with 256 bits of chance.
        whsec) printf 'whsec_%s' "$(random)" >"${path}.part" ;;
        given) : >"${path}.part" ;;
    esac
    chmod 644 "${path}.part"
    mv "${path}.part" "$path"
}

private() {
    [ "$dry_run" = no ] || return 0
    mkdir -p "$1"
    chmod 700 "$1"
}

prepare() {
    if [ ! -e "$env_file" ] && changes "copy docker/env.production to ${env_file}"; then
        cp docker/env.production "${env_file}.part"
        chmod 600 "${env_file}.part"
        mv "${env_file}.part" "$env_file"
    fi
    remember DEPLOY_BROKER "$broker"
    [ -z "$domain_wanted" ] || remember CHATBOT_DOMAIN "$domain_wanted"
    printf '%s' "$settings" | while IFS= read -r pair; do
        remember "${pair%%=*}" "${pair#*=}"
    done
    private "$secrets"
    secret admin_password random
    secret store_password random
    secret rabbitmq_password random
    secret generic_secret whsec
    secret whatsapp_app_secret given
    secret whatsapp_verify_token random
    secret whatsapp_access_token given
    secret grafana_password random
    secret openai_api_key given
}
