# What has to be there before anything is started; each lack is told with its cure.

function channel {
    $wanted = $args[0]
    @($channels -split ',' | Where-Object { ($_ -split '=')[0] -ceq $wanted }).Count -gt 0
}

# What --set gives now counts before what the file says.
function chosen {
    $given = value_in $args[0] $settings
    if (-not $given) { $given = setting $args[0] }
    $given
}

function check_settings {
    $script:channels = chosen CHATBOT_CHANNELS
    if (-not $channels) { $script:channels = 'generic' }
    if ((channel generic) -and -not (chosen CHATBOT_GENERIC_OUTBOUND_URL)) {
        problem "CHATBOT_GENERIC_OUTBOUND_URL, where replies go, is not set" "docker/deploy.ps1 --set CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies"
    }
    if (-not (channel whatsapp)) { return }
    foreach ($name in 'whatsapp_app_secret', 'whatsapp_access_token') {
        $path = "${secrets}/${name}"
        if (-not (Test-Path $path) -or (Get-Item $path).Length -eq 0) {
            problem "${secrets}/${name} is empty" "write what Meta gave you into that file, without a line end"
        }
    }
}

function check_docker {
    if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
        problem "Docker is not installed" "https://docs.docker.com/engine/install/"
        return
    }
    $tolerant = $true
    $script:engine = $true
    $script:facts = "$(query docker info --format '{{.MemTotal}} {{.DockerRootDir}}' 2>$null)"
    $script:engine = $succeeded
    if (-not $engine) { problem "the Docker engine does not answer" "start it, or let this user use it: https://docs.docker.com/engine/install/linux-postinstall/" }
}

function check_compose {
    $tolerant = $true
    $version = "$(query docker compose version --short 2>$null)" -replace '^v', ''
    if (-not $succeeded) { $version = 'none' }
    $major = 0
    $minor = 0
    if ($version -match '^(\d+)\.(\d+)') {
        $major = [int]$Matches[1]
        $minor = [int]$Matches[2]
    }
    if ($major -lt 2 -or ($major -eq 2 -and $minor -lt 24)) {
        problem "Docker Compose 2.24 or newer is needed, found: ${version}" "https://docs.docker.com/compose/install/"
    }
}

function check_room {
    $memory, $place = $facts -split ' ', 2
    if ([long]$memory -lt 1900000000) { problem "Docker has less than 2 GB of memory" "a bigger machine, or more memory in the settings of Docker Desktop" }
    # Docker Desktop keeps its data in a machine of its own, whose path is not here.
    if (-not (Test-Path $place -PathType Container)) { $place = (Get-Location).Path }
    if ($windows) { $place = [IO.Path]::GetPathRoot((Resolve-Path $place).Path) }
    $free = (New-Object IO.DriveInfo $place).AvailableFreeSpace / 1024
    if ($free -lt 4000000) { problem "less than 4 GB of disk space are free at ${place}" "docker system prune, or a bigger disk" }
}

function check_ports {
    $tolerant = $true
    if (query compose ps -q caddy 2>$null) { return }
    port_is_free CHATBOT_HTTP_PORT 80
    port_is_free CHATBOT_HTTPS_PORT 443
    port_is_free CHATBOT_DASHBOARD_PORT 5555
}

function port_is_free {
    $name = $args[0]
    $port = chosen $name
    if (-not $port) { $port = $args[1] }
    if (listening $port) { problem "port ${port} is in use" "stop the program that listens on it, or take another one: docker/deploy.ps1 --set ${name}=..." }
}

function listening {
    $port = [int]$args[0]
    $open = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()
    @($open | Where-Object { $_.Port -eq $port }).Count -gt 0
}

function conclude {
    if ($problems -eq 0) { return }
    if (-not $dry_run) { fail 3 "things that are missing: ${problems}; nothing was started" "repair them as said above, then run the same command again" }
    say "Without --dry-run this would end here."
}

function check {
    say "Checking this machine"
    if ($engine) {
        check_compose
        check_room
        check_ports
    }
    check_settings
    conclude
}

function choose_broker {
    $remembered = setting DEPLOY_BROKER
    $script:broker = $remembered
    if (-not $broker) { $script:broker = 'redis' }
    if (-not $broker_wanted -or $broker_wanted -eq $broker) { return }
    # Without an engine that answers nobody knows what runs.
    if (-not $engine) { conclude }
    $running = query compose ps -q
    if ($remembered -and $running) {
        fail 4 "this deployment runs with ${broker}, not with ${broker_wanted}" "docker/deploy.ps1 --down, then docker/deploy.ps1 --broker ${broker_wanted}: the ledger stays in the store, and is published to the new broker"
    }
    $script:broker = $broker_wanted
}
