# How the parts of deploy.ps1 speak, and call other programs.

function say {
    Write-Host $args[0]
}

function fail {
    [Console]::Error.WriteLine("error: $($args[1])`n  cure: $($args[2])")
    $script:ended = $true
    exit $args[0]
}

function problem {
    $script:problems += 1
    [Console]::Error.WriteLine("missing: $($args[0])`n  cure: $($args[1])")
}

# Words of a call as strings; a list among them stands for its own words.
function flat {
    foreach ($word in $args[0]) {
        if ($word -is [array]) { flat $word } elseif ($null -ne $word) { "$word" }
    }
}

function whole {
    $words = @(flat $args)
    if ($words[0] -ne 'compose') { return $words }
    @('docker', 'compose', '-f', "compose.${broker}.yml", '--env-file', $env_file) + @($words | Select-Object -Skip 1)
}

function show {
    $script:line = '+'
    foreach ($word in $args[0]) {
        if ($word -match '^[A-Za-z0-9_./:=@,+-]+$') { $script:line += " ${word}" } else { $script:line += " '${word}'" }
    }
    say $line
}

# Four ways to change something or to look: `run` must succeed, `attempt` tells in $succeeded whether it did, `changes` is
# asked before a change of files, and `query` changes nothing.
function run {
    attempt $args
    if (-not $succeeded) { fail 1 "this did not succeed: ${line}" "read what it said above; then run the same command again: what is done stays done" }
}

function attempt {
    $words = @(whole $args)
    show $words
    $script:succeeded = $true
    if ($dry_run) { return }
    # What a program says on its standard error is no error of this script.
    $ErrorActionPreference = 'Continue'
    $program = $words[0]
    $rest = @($words | Select-Object -Skip 1)
    & $program @rest
    $script:succeeded = $LASTEXITCODE -eq 0
}

function query {
    $words = @(whole $args)
    # Compose needs the settings to read its file; before there are any, nothing of ours runs.
    if ("$($args[0])" -eq 'compose' -and -not (Test-Path $env_file)) { return }
    if (-not $engine -and $words[0] -eq 'docker') { return }
    $ErrorActionPreference = 'Continue'
    $program = $words[0]
    $rest = @($words | Select-Object -Skip 1)
    & $program @rest
    $script:succeeded = $LASTEXITCODE -eq 0
    if (-not $succeeded -and -not $tolerant) {
        $script:ended = $true
        exit 1
    }
}

function changes {
    say "+ $($args[0])"
    -not $dry_run
}
