# Settings in docker/.env, and secrets in docker/secrets/: made once, never overwritten, never printed.

function setting {
    $source = $env_file
    if (-not (Test-Path $source)) { $source = 'docker/env.production' }
    value_in $args[0] @(lines_of $source)
}

function value_in {
    $start = "$($args[0])="
    $found = @($args[1] | Where-Object { "$_".StartsWith($start) })
    if ($found.Count -eq 0) { return '' }
    "$($found[-1])".Substring($start.Length) -replace "^'(.*)'$", '$1' -replace '^"(.*)"$', '$1'
}

# As UTF-8, whatever the machine's own encoding is.
function lines_of {
    [IO.File]::ReadAllLines([IO.Path]::Combine((Get-Location).Path, $args[0]))
}

# Without the mark that Windows PowerShell puts first, and complete before it has its name.
function write_file {
    $path = [IO.Path]::Combine((Get-Location).Path, $args[0])
    [IO.File]::WriteAllText("${path}.part", $args[1], (New-Object Text.UTF8Encoding $false))
    Move-Item -Force -LiteralPath "${path}.part" -Destination $path
}

function remember {
    $name = $args[0]
    $value = $args[1]
    if ((setting $name) -ceq $value) { return }
    if (-not (changes "set ${name} in ${env_file}")) { return }
    $done = $false
    # Single quotes keep Compose from reading a dollar sign as a variable.
    $lines = @(foreach ($text in lines_of $env_file) {
            if (-not $done -and ($text.StartsWith("${name}=") -or $text.StartsWith("#${name}="))) {
                $done = $true
                "${name}='${value}'"
            } else { $text }
        })
    if (-not $done) { $lines += "${name}='${value}'" }
    write_file $env_file (($lines -join "`n") + "`n")
    only_ours $env_file '600'
}

function random {
    $bytes = New-Object byte[] 32
    $generator = [Security.Cryptography.RandomNumberGenerator]::Create()
    $generator.GetBytes($bytes)
    $generator.Dispose()
    -join ($bytes | ForEach-Object { $_.ToString('x2') })
}

# Docker mounts a secret's file with its owner and mode, and each image has a user of its own. So the files can be read
# by all, in a directory that only its owner can enter: on the host nobody gets to them, and a mount needs no way there.
function secret {
    $path = "${secrets}/$($args[0])"
    if ((Test-Path $path) -and ($args[1] -eq 'given' -or (Get-Item $path).Length -gt 0)) { return }
    if (-not (changes "make ${path}")) { return }
    switch ($args[1]) {
        'random' { write_file $path (random) }
        # Hexadecimal digits are base64, too: these are 48 bytes, with 256 bits of chance.
        'whsec' { write_file $path "whsec_$(random)" }
        'given' { write_file $path '' }
    }
    if (-not $windows) { chmod 644 $path }
}

function only_ours {
    if (-not $windows) { chmod $args[1] $args[0] }
    elseif (Test-Path $args[0] -PathType Container) { icacls $args[0] /inheritance:r /grant:r "${env:USERNAME}:(OI)(CI)F" | Out-Null }
    else { icacls $args[0] /inheritance:r /grant:r "${env:USERNAME}:F" | Out-Null }
}

function private {
    if ($dry_run) { return }
    New-Item -ItemType Directory -Force -Path $args[0] | Out-Null
    only_ours $args[0] '700'
}

function prepare {
    if (-not (Test-Path $env_file) -and (changes "copy docker/env.production to ${env_file}")) {
        write_file $env_file ((@(lines_of 'docker/env.production') -join "`n") + "`n")
        only_ours $env_file '600'
    }
    remember DEPLOY_BROKER $broker
    if ($domain_wanted) { remember CHATBOT_DOMAIN $domain_wanted }
    foreach ($pair in $settings) {
        $name, $value = $pair -split '=', 2
        remember $name $value
    }
    private $secrets
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
