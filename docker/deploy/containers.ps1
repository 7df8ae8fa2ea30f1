# Starting containers, and waiting until they are healthy.

# How many containers a service has to have: as many as it has, or had when an upgrade began that did not end yet.
function wanted {
    if (Test-Path $rolling) { return [int](value_in $args[0] @(lines_of $rolling)) }
    $ids = @(query compose ps -q $args[0])
    $ids.Count
}

function scales {
    foreach ($service in 'scheduler', 'worker', 'web') {
        $count = wanted $service
        if ($count -ne 0) { '--scale', "${service}=${count}" }
    }
}

function states {
    query compose ps --all --format '{{.Service}} {{.State}} {{.Health}}' $args
}

# The services, each once, of the lines that a test holds for.
function services_where {
    $test = $args[1]
    $found = foreach ($text in $args[0]) {
        $service, $state, $health = "$text" -split ' '
        if (& $test $state $health) { $service }
    }
    @($found | Sort-Object -Unique) -join ' '
}

function unwell {
    $sick = $args[0]
    $tolerant = $true
    query compose ps --all
    if (-not $sick) { fail 1 "this did not succeed: ${line}" "$cure" }
    say "Look into it: docker compose -f compose.${broker}.yml --env-file ${env_file} logs --tail 100 ${sick}"
    fail 1 "not healthy: ${sick}" "$cure"
}

# Waits until all containers of the services, or of all services, run and are healthy; looks every two seconds.
function wait_healthy {
    if ($dry_run) { return }
    $waited = 0
    $restarts = 0
    $told = ''
    while ($true) {
        $seen = @(states $args)
        $bad = services_where $seen { $args[0] -in 'exited', 'dead' -or $args[1] -eq 'unhealthy' }
        $waiting = services_where $seen { $args[0] -ne 'running' -or $args[1] -eq 'starting' }
        if ("$seen" -match 'restarting') { $restarts += 1 }
        if ($seen.Count -eq 0) { unwell "$args" }
        if ($bad) { unwell $bad }
        if (-not $waiting) { break }
        if ($restarts -ge 5 -or $waited -ge $limit) { unwell $waiting }
        if ($waiting -ne $told) { say "  waiting for ${waiting}" }
        $told = $waiting
        $waited += 2
        Start-Sleep -Seconds 2
    }
}

function start_all {
    say "Starting"
    $scaled = @(scales)
    attempt compose up -d --remove-orphans --wait-timeout "$limit" $scaled
    if (-not $succeeded) {
        $bad = services_where @(states) { $args[0] -in 'exited', 'dead', 'restarting' -or $args[1] -eq 'unhealthy' }
        unwell $bad
    }
    wait_healthy
}

function build {
    if (-not $building) { return }
    say "Building the image"
    run compose build web
}

function verify {
    if (-not (channel generic)) {
        say "Not verified: that needs the channel generic, or a number that WhatsApp knows."
        return
    }
    say "Verifying that it keeps its guarantees"
    attempt compose exec -T web chatbot verify
    if (-not $succeeded) { fail 1 "the service runs, but did not show its guarantees" "docker/deploy.ps1 --logs web worker; then run the same command again" }
}

# Without a name there is no certificate; Caddy then listens for plain HTTP.
function public_address {
    $domain = $domain_wanted
    if (-not $domain) { $domain = chosen CHATBOT_DOMAIN }
    if (-not $domain -or $domain.StartsWith(':')) { return 'http://localhost' }
    "https://${domain}"
}

function summary {
    $address = public_address
    say "Webhooks:"
    foreach ($name in $channels -split ',') {
        $name = ($name -split '=')[0]
        say "  ${address}/webhooks/${name}"
    }
    $port = chosen CHATBOT_DASHBOARD_PORT
    if (-not $port) { $port = 5555 }
    say "Console: http://127.0.0.1:${port}/, queues: http://127.0.0.1:${port}/dashboard/, on this machine or after: ssh -L ${port}:127.0.0.1:${port} MACHINE"
    say "The login is that of CHATBOT_ADMIN_USER, its password is in ${secrets}/admin_password"
    say "What goes on: docker/deploy.ps1 --status, and docker/deploy.ps1 --logs"
}
