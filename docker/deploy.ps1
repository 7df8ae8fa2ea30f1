# Deploys the service on this machine with Docker Compose; --help tells how.
# deploy.sh is its twin: function by function it says the same and calls the same, and a test compares them.
# For Windows PowerShell 5.1 and PowerShell 7: no operator that is newer, and no double quote inside a word that is handed
# to a program, since 5.1 loses those.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false

$here = (Get-Location).Path
$env_file = 'docker/.env'
$secrets = 'docker/secrets'
$backups = 'docker/backups'
$stage = 'docker/backups/.part'
$rolling = 'docker/.rolling'
$previous = 'chatbot:previous'
$windows = $env:OS -eq 'Windows_NT'

$what = 'deploy'
$broker_wanted = ''
$domain_wanted = ''
$archive = ''
$building = $true
$agreed = $false
$forced = $false
$dry_run = $false
$limit = 300
$settings = @()
$log_words = @()
$broker = ''
$channels = 'generic'
$engine = $false
$tolerant = $false
$succeeded = $true
$ended = $false
$problems = 0
$line = ''
$cure = "repair what is named above, then run the same command again"

function usage {
    Write-Host @'
Usage: docker/deploy.ps1 [WHAT] [OPTION]...

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
  docker/deploy.ps1 --domain bot.example.com --set CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies
  docker/deploy.ps1 --broker rabbitmq --dry-run
  docker/deploy.ps1 --backup
  docker/deploy.ps1 --upgrade
  docker/deploy.ps1 --logs --follow web worker
'@
}

Set-Location -LiteralPath (Split-Path -Parent $PSScriptRoot)
. ./docker/deploy/calls.ps1
. ./docker/deploy/settings.ps1
. ./docker/deploy/checks.ps1
. ./docker/deploy/containers.ps1
. ./docker/deploy/upgrade.ps1
. ./docker/deploy/backup.ps1

function deploy {
    prepare
    check
    build
    start_all
    verify
    summary
}

function down {
    conclude
    run compose --profile '*' down --remove-orphans
    say "The containers are gone. Volumes, ${env_file} and ${secrets} stay: docker/deploy.ps1 starts it again."
}

# --- the command line ---

function misused {
    [Console]::Error.WriteLine("error: $($args[0])`n  cure: docker/deploy.ps1 --help")
    $script:ended = $true
    exit 2
}

function absolute {
    [IO.Path]::Combine($here, $args[0])
}

function choose {
    $wanted = $args[0]
    if ($what -ne 'deploy') { misused "--${what} and --${wanted} exclude each other" }
    $script:what = $wanted
}

function valued {
    $word = $args[0]
    if (-not $args[1] -or "$($args[1])".StartsWith('-')) { misused "${word} needs a value" }
}

function add_setting {
    if ($args[0] -match "['\r\n]") { misused "--set takes no quotes and no line ends" }
    if ($args[0] -cnotmatch '^[A-Z][A-Z0-9_]*=') { misused "--set takes NAME=VALUE" }
    $script:settings += $args[0]
}

function option {
    $word = $args[0]
    $value = $args[1]
    valued $word $value
    switch ($word) {
        '--broker' {
            if ($value -notin 'redis', 'rabbitmq') { misused "--broker is redis or rabbitmq" }
            $script:broker_wanted = $value
        }
        '--domain' {
            if ($value -notmatch '^[A-Za-z0-9.-]+$') { misused "--domain takes a name such as bot.example.com" }
            $script:domain_wanted = $value
        }
        '--set' { add_setting $value }
        '--timeout' {
            if ($value -notmatch '^[0-9]+$') { misused "--timeout takes seconds" }
            $script:limit = [int]$value
        }
    }
}

function read_words {
    $words = @($args[0])
    for ($at = 0; $at -lt $words.Count; $at++) {
        $word = $words[$at]
        $next = ''
        if ($at + 1 -lt $words.Count) { $next = $words[$at + 1] }
        switch -CaseSensitive ($word) {
            { $_ -in '--broker', '--domain', '--set', '--timeout' } {
                option $word $next
                $at++
            }
            '--restore' {
                choose restore
                valued $word $next
                $script:archive = absolute $next
                $at++
            }
            '--backup' {
                choose backup
                if ($next -and -not $next.StartsWith('-')) {
                    $script:archive = absolute $next
                    $at++
                }
            }
            { $_ -in '--upgrade', '--down', '--status' } { choose $word.Substring(2) }
            '--logs' {
                choose logs
                $script:log_words = @($words | Select-Object -Skip ($at + 1))
                $at = $words.Count
            }
            '--no-build' { $script:building = $false }
            '--force' { $script:forced = $true }
            '--yes' { $script:agreed = $true }
            '--dry-run' { $script:dry_run = $true }
            '--help' {
                usage
                $script:ended = $true
                exit 0
            }
            default {
                misused "unknown: ${word}"
            }
        }
    }
}

try {
    # PowerShell makes a list of a value with commas.
    read_words @($args | ForEach-Object { $_ -join ',' })
    check_docker
    if ($what -ne 'restore') { choose_broker }
    switch ($what) {
        'status' {
            conclude
            query compose ps --all
        }
        'logs' {
            conclude
            query compose logs --tail 200 $log_words
        }
        default { & $what }
    }
    $ended = $true
} catch {
    $ended = $true
    fail 1 "$_" "$cure"
} finally {
    if (-not $ended) { Write-Host "Interrupted. Run the same command again: what is done stays done." }
    Set-Location -LiteralPath $here
}
exit 0
