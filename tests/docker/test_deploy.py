"""deploy.sh on a machine with a stand-in for Docker: from nothing to a verified service, and what may be missing."""

from __future__ import annotations

import base64
import re
import signal
import stat
from pathlib import Path

import pytest

from tests.docker.deploying import MACHINE, REPLIES, ROOT, STAND_IN, Project

GENERATED = (
    "admin_password", "generic_secret", "grafana_password", "rabbitmq_password", "store_password",
    "whatsapp_verify_token",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_fresh_machine_is_built_started_and_verified_in_that_order(tmp_path: Path, shell: str) -> None:
    project = Project(tmp_path, shell)

    done = project.deploy(*REPLIES, "--domain", "bot.example.com")

    assert done.status == 0, done.err
    assert project.changes() == ["build web", "up -d --remove-orphans --wait-timeout 300", "exec -T web chatbot verify"]
    assert "https://bot.example.com/webhooks/generic" in done.out
    assert "waiting for" in done.out


def test_secrets_are_long_random_and_all_different(project: Project) -> None:
    project.deployed()

    secrets = project.secrets()
    made = [secrets[name].removeprefix("whsec_") for name in GENERATED]
    assert len(set(made)) == len(GENERATED)
    assert all(len(one) == 64 and len(set(one)) > 8 for one in made)
    assert len(base64.b64decode(secrets["generic_secret"].removeprefix("whsec_"), validate=True)) == 48
    assert {name for name, text in secrets.items() if not text} == {
        "whatsapp_app_secret", "whatsapp_access_token", "openai_api_key"
    }  # fmt: skip


def test_containers_can_read_the_secrets_and_other_people_of_the_machine_cannot(project: Project) -> None:
    project.deployed()

    folder = project.root / "docker/secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    assert stat.S_IMODE((project.root / "docker/.env").stat().st_mode) == 0o600


def test_no_secret_is_ever_printed_or_in_a_list_of_processes(project: Project) -> None:
    done = project.deploy(*REPLIES)
    backup = project.deploy("--backup")

    told = done.out + done.err + backup.out + backup.err + str(project.records())
    assert not [name for name, text in project.secrets().items() if text and text in told]


def test_a_second_run_changes_no_file_and_no_container(project: Project) -> None:
    project.deployed()
    before, containers = project.snapshot(), project.world()["containers"]

    assert project.deploy(*REPLIES).status == 0

    assert project.snapshot() == before
    assert project.world()["containers"] == containers


@pytest.mark.long
def test_a_second_run_keeps_the_number_of_workers(project: Project) -> None:
    project.deployed()
    compose = ["compose", "-f", "compose.redis.yml", "--env-file", "docker/.env"]
    project.run("docker", *compose, "up", "-d", "--no-recreate", "--scale", "worker=5", "worker")

    project.deploy()

    assert (
        "up -d --remove-orphans --wait-timeout 300 --scale scheduler=2 --scale worker=5 --scale web=1"
        in project.changes()
    )


@pytest.mark.long
@pytest.mark.parametrize("what", [(), ("--down",), ("--backup",), ("--upgrade",)])
def test_a_dry_run_tells_what_it_would_call_and_changes_nothing(project: Project, what: tuple[str, ...]) -> None:
    project.deployed()
    before, world = project.snapshot(), project.world()

    done = project.deploy("--dry-run", "--domain", "other.example.com", *what)

    assert done.status == 0, done.err
    assert "+ docker compose -f compose.redis.yml --env-file docker/.env" in done.out
    assert project.snapshot() == before
    assert project.changes() == []
    assert project.world()["containers"] == world["containers"]


def test_a_dry_run_on_a_bare_machine_calls_nothing(project: Project) -> None:
    before = project.snapshot()

    done = project.deploy("--dry-run", "--broker", "rabbitmq")

    assert done.status == 0
    assert "compose.rabbitmq.yml --env-file docker/.env build web" in done.out
    assert project.snapshot() == before
    assert project.changes() == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "told", "cure"),
    [
        ({"engine": False}, "the Docker engine does not answer", "start it"),
        ({"compose": "2.21.0"}, "Docker Compose 2.24 or newer is needed, found: 2.21.0", "docs.docker.com/compose"),
        ({"compose": "v1.29.2"}, "Docker Compose 2.24 or newer is needed, found: 1.29.2", "docs.docker.com/compose"),
        ({"fails": {"compose version": 1}}, "Docker Compose 2.24 or newer", "docs.docker.com/compose"),
        ({"memory": 900_000_000}, "Docker has less than 2 GB of memory", "a bigger machine"),
    ],
)
def test_what_docker_lacks_is_told_with_its_cure(
    project: Project, how: dict[str, object], told: str, cure: str
) -> None:
    project.world(**how)

    done = project.deploy(*REPLIES)

    assert done.status == 3
    assert told in done.err
    assert cure in done.err
    assert project.changes() == []


@pytest.mark.long
@pytest.mark.parametrize("version", ["v2.24.0", "2.40.3-desktop.1", "5.0.1"])
def test_newer_versions_of_compose_are_taken(project: Project, version: str) -> None:
    project.world(compose=version)

    assert project.deploy(*REPLIES).status == 0


def test_all_that_is_missing_is_told_at_once(project: Project) -> None:
    (project.machine / "ports").write_text("LISTEN 0 4096 0.0.0.0:80 0.0.0.0:*\nLISTEN 0 4096 [::]:443 [::]:*\n")
    (project.machine / "free").write_text("1000")

    done = project.deploy("--set", "CHATBOT_CHANNELS=generic,whatsapp")

    assert done.status == 3
    for told in (
        "port 80 is in use", "port 443 is in use", "4 GB of disk", "CHATBOT_GENERIC_OUTBOUND_URL",
        "docker/secrets/whatsapp_app_secret is empty", "docker/secrets/whatsapp_access_token is empty",
    ):  # fmt: skip
        assert told in done.err
    assert "port 5555" not in done.err


@pytest.mark.long
def test_another_port_can_be_taken(project: Project) -> None:
    (project.machine / "ports").write_text("LISTEN 0 4096 0.0.0.0:80 0.0.0.0:*\n")

    assert project.deploy(*REPLIES, "--set", "CHATBOT_HTTP_PORT=8080").status == 0


def test_a_machine_without_docker_is_told_where_to_get_it(project: Project) -> None:
    without = project.machine / "without"
    without.mkdir()
    for program in ("sh", "awk", "cat", "cp", "chmod", "dirname", "grep", "mkdir", "mv", "od", "sed", "tail", "tr"):
        (without / program).symlink_to(f"/usr/bin/{program}")
    project.environment["PATH"] = str(without)

    done = project.deploy(*REPLIES)

    assert done.status == 3
    assert "Docker is not installed\n  cure: https://docs.docker.com/engine/install/" in done.err


@pytest.mark.long
@pytest.mark.parametrize("state", ["unhealthy", "restarting", "starting", "exited"])
def test_a_service_that_is_not_well_is_named_with_its_logs(project: Project, state: str) -> None:
    project.world(sick={"worker": state})

    done = project.deploy(*REPLIES, "--timeout", "30")

    assert done.status == 1
    assert "not healthy: worker" in done.err
    assert "docker compose -f compose.redis.yml --env-file docker/.env logs --tail 100 worker" in done.err
    assert "exec -T web chatbot verify" not in project.changes()


@pytest.mark.long
@pytest.mark.parametrize("call", ["build web", "up -d", "chatbot verify"])
def test_a_step_that_fails_ends_the_run_and_it_can_be_repeated(project: Project, call: str) -> None:
    project.world(fails={call: 7})
    failed = project.deploy(*REPLIES)
    secrets = project.secrets()
    project.world(fails={})

    assert failed.status == 1
    assert "cure: " in failed.err
    assert project.deploy().status == 0
    assert project.secrets() == secrets


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "call"),
    [
        ("mv", "docker/.env"),
        ("mv", "store_password"),
        ("docker", "build web"),
        ("docker", "up -d"),
        ("docker", "verify"),
    ],
)
def test_a_run_that_was_killed_anywhere_is_finished_by_the_next(project: Project, program: str, call: str) -> None:
    project.install(program, _killed_at(call, program))
    killed = project.deploy(*REPLIES)
    folder = project.root / "docker/secrets"
    secrets = {path.name: path.read_text() for path in folder.glob("*_password")}
    project.install(program, _killed_at("never", program))

    assert killed.status == -signal.SIGKILL
    assert project.deploy(*REPLIES).status == 0
    assert project.secrets().items() >= secrets.items()
    assert not list((project.root / "docker").rglob("*.part"))


def test_an_interrupt_says_that_the_run_can_be_repeated(project: Project) -> None:
    project.install("docker", _killed_at("build web", "docker", "INT"))

    done = project.deploy(*REPLIES, first=["env", "--default-signal=INT"])

    assert done.status == 130
    assert "Interrupted. Run the same command again" in done.err


@pytest.mark.long
def test_an_engine_that_fails_halfway_is_no_empty_engine(project: Project) -> None:
    project.deployed("--broker", "rabbitmq")
    for call in ("ps -q", "ps -q worker"):
        project.world(fails={call: 1})
        assert project.deploy("--broker", "redis" if call == "ps -q" else "rabbitmq").status == 1

    assert "DEPLOY_BROKER='rabbitmq'" in (project.root / "docker/.env").read_text()
    assert [call for call in project.changes() if call.startswith("up")] == []


def test_the_secrets_that_are_made_are_those_that_the_compose_files_mount(project: Project) -> None:
    project.deployed()

    files = [ROOT / "docker/compose.base.yml", ROOT / "compose.rabbitmq.yml"]
    mounted = {name for file in files for name in re.findall(r"file: \S*secrets/(\w+)", file.read_text())}
    assert project.secrets().keys() == mounted


def test_the_services_that_the_stand_in_has_are_those_of_the_compose_files() -> None:
    stand_in = STAND_IN.read_text().partition("SERVICES = {")[2].partition("}")[0]
    text = (ROOT / "compose.redis.yml").read_text() + (ROOT / "docker/compose.base.yml").read_text()
    assert set(re.findall(r'"(\w+)"', stand_in)) <= set(re.findall(r"^  (\w+):$", text, re.M))


@pytest.mark.long
def test_a_running_deployment_keeps_its_broker_until_it_is_down(project: Project) -> None:
    project.deployed("--broker", "rabbitmq")

    refused = project.deploy("--broker", "redis")
    untold = project.deploy()
    project.deploy("--down")
    changed = project.deploy("--broker", "redis")

    assert refused.status == 4
    assert "runs with rabbitmq, not with redis\n  cure: docker/deploy.sh --down" in refused.err
    assert (untold.status, changed.status) == (0, 0)
    files = [record["argv"][2] for record in project.records() if "verify" in record["argv"]]
    assert files == ["compose.rabbitmq.yml", "compose.redis.yml"]


def test_the_broker_is_not_changed_while_nobody_knows_what_runs(project: Project) -> None:
    project.deployed("--broker", "rabbitmq")
    project.world(engine=False)

    assert project.deploy("--broker", "redis").status == 3
    assert "DEPLOY_BROKER='rabbitmq'" in (project.root / "docker/.env").read_text()


def test_down_keeps_volumes_settings_and_secrets(project: Project) -> None:
    project.deployed()
    before = project.snapshot()

    done = project.deploy("--down")

    assert done.status == 0
    assert "Volumes, docker/.env and docker/secrets stay" in done.out
    assert project.changes() == ["--profile * down --remove-orphans"]
    assert project.snapshot() == before


@pytest.mark.long
def test_settings_replace_their_line_and_are_literal(project: Project) -> None:
    project.deployed("--set", "CHATBOT_TIMEZONE=Europe/Paris", "--set", "CHATBOT_NEW=a$b&c")
    project.deploy("--set", "CHATBOT_TURN_ATTEMPTS=7")

    lines = (project.root / "docker/.env").read_text().splitlines()
    assert [line for line in lines if "CHATBOT_TIMEZONE" in line] == ["CHATBOT_TIMEZONE='Europe/Paris'"]
    assert [line for line in lines if "CHATBOT_TURN_ATTEMPTS" in line] == ["CHATBOT_TURN_ATTEMPTS='7'"]
    assert "CHATBOT_NEW='a$b&c'" in lines


@pytest.mark.long
def test_a_deployment_without_the_generic_channel_says_that_it_was_not_verified(project: Project) -> None:
    project.deployed()
    for name in ("whatsapp_app_secret", "whatsapp_access_token"):
        (project.root / "docker/secrets" / name).write_text("given")

    done = project.deploy("--set", "CHATBOT_CHANNELS=whatsapp")

    assert done.status == 0
    assert "Not verified" in done.out
    assert "http://localhost/webhooks/whatsapp" in done.out


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        ("--brokr",), ("--broker", "kafka"), ("--broker",), ("--domain", "https://x"), ("--domain", "--dry-run"),
        ("--set", "x"), ("--set", "CHATBOT_X=it's"), ("--timeout", "soon"), ("--restore",), ("--down", "--backup"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_apart(project: Project, options: tuple[str, ...]) -> None:
    done = project.deploy(*options)

    assert done.status == 2
    assert "docker/deploy.sh --help" in done.err
    assert project.records() == []


def test_help_shows_examples_and_needs_no_docker(project: Project) -> None:
    done = project.deploy("--help")

    assert done.status == 0
    assert "Examples:" in done.out
    assert project.records() == []


def test_status_and_logs_show_what_compose_says(project: Project) -> None:
    project.deployed()

    assert "web-2 web running" in project.deploy("--status").out
    assert project.deploy("--logs", "web", "--follow").out == "logs of --tail 200 web --follow\n"


def _killed_at(call: str, program: str, name: str = "KILL") -> str:
    """Return a program that sends a signal to the script which calls it so, and is itself at any other call."""
    itself = MACHINE["docker"] if program == "docker" else f'exec /bin/{program} "$@"'
    return f'case "$*" in *"{call}"*) kill -{name} "$PPID"; exit 1 ;; esac\n{itself}'
