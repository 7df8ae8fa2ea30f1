# A new version without a refused webhook: containers are replaced one after the other.

function upgrade {
    conclude
    $ids = @(query compose ps -q web)
    $first = $ids | Select-Object -First 1
    if (-not $first -and -not $dry_run) { fail 4 "nothing runs here that could be upgraded" "docker/deploy.ps1" }
    prepare
    check
    if (-not (Test-Path $rolling) -and $first) { note_what_runs }
    build
    say "Asking doctor, with the new image"
    attempt compose run --rm --no-deps -T web doctor
    if (-not $succeeded -and -not $forced) { fail 1 "doctor found something; what runs was left as it is" "do what doctor says, or go on with docker/deploy.ps1 --upgrade --force" }
    $tag = chosen CHATBOT_TAG
    if (-not $tag) { $tag = 'latest' }
    $script:cure = "to go back: docker tag ${previous} chatbot:${tag}, then docker/deploy.ps1 --upgrade --no-build --force"
    roll scheduler
    roll worker
    roll web
    start_all
    verify
    if (-not $dry_run -and (Test-Path $rolling)) { Remove-Item $rolling }
    say "Upgraded. The image before is kept as ${previous}."
    summary
}

# Written once: an upgrade that is repeated must not take new containers beside old ones for what was wanted, nor its
# own image for the one before.
function note_what_runs {
    $running = query docker inspect --format '{{.Image}}' "$first"
    run docker tag "$running" "$previous"
    $schedulers = wanted scheduler
    $workers = wanted worker
    $webs = wanted web
    if (-not (changes "write ${rolling}")) { return }
    write_file $rolling "scheduler=${schedulers}`nworker=${workers}`nweb=${webs}`n"
}

# Replaces a service's containers one by one. Of web the new one comes first, so that one always answers behind the
# proxy; of the others the old one ends first, with its grace, because more of them might not fit into the memory.
function roll {
    $role = $args[0]
    $count = wanted $role
    say "Replacing ${role}"
    foreach ($text in @(query compose ps --all --format '{{.ID}} {{.State}} {{.Health}}' "$role")) {
        $container, $state, $health = $text -split ' '
        if ($state -ne 'running' -or $health -eq 'unhealthy') {
            run docker rm --force "$container"
        }
    }
    if ($role -eq 'web') { $count += 1 }
    $ids = @(query compose ps -q "$role")
    foreach ($container in $ids) {
        if ($role -eq 'web') { add_one }
        run docker stop "$container"
        run docker rm "$container"
        if ($role -ne 'web') { add_one }
    }
}

function add_one {
    run compose up -d --no-deps --no-recreate --no-build --scale "${role}=${count}" "$role"
    wait_healthy $role
}
