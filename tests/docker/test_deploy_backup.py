"""deploy.sh --backup and --restore: the ledger of a real server, the settings and the secrets, in one file and back."""

from __future__ import annotations

import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.docker.deploying import Project
from tests.servers import find_redis, find_valkey, free_port
from tests.waiting import wait_until

SERVERS = {"redis": find_redis, "valkey": find_valkey}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@contextmanager
def store(project: Project, program: str) -> Iterator[redis.Redis]:
    """Run a real store on the volume of the stand-in's store, with the password and the options of the deployment."""
    port = free_port()
    volume = project.machine / "store"
    volume.mkdir(exist_ok=True)
    password = project.secrets()["store_password"]
    project.install("valkey-cli", f'exec "{shutil.which("redis-cli")}" -h 127.0.0.1 -p {port} "$@"')
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(volume), "--requirepass", password]
    server = subprocess.Popen(
        [program, *options, "--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(host="127.0.0.1", port=port, password=password)
    try:
        wait_until(lambda: _answers(client), message="the store does not answer")
        yield client
    finally:
        client.close()
        server.terminate()
        server.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.mark.parametrize("kind", [pytest.param("redis", marks=pytest.mark.long), "valkey"])
def test_a_backup_brings_back_the_ledger_the_settings_and_the_secrets(project: Project, kind: str) -> None:
    program = SERVERS[kind]()
    project.deployed("--domain", "bot.example.com")
    settings, secrets = (project.root / "docker/.env").read_text(), project.secrets()
    with store(project, program) as client:
        client.rpush("window", "first", "second")
        client.set("remembered", "id", ex=86_400)
        saved = project.deploy("--backup", "saved.tar.gz")
        client.rpush("window", "later")
    project.deploy("--domain", "other.example.com")
    (project.root / "docker/secrets/generic_secret").write_text("whsec_other")

    done = project.deploy("--restore", "saved.tar.gz", answer="yes\n")

    assert (saved.status, done.status) == (0, 0), saved.err + done.err
    assert ((project.root / "docker/.env").read_text(), project.secrets()) == (settings, secrets)
    with store(project, program) as client:
        assert client.lrange("window", 0, -1) == [b"first", b"second"]
        assert 0 < client.ttl("remembered") <= 86_400
        client.rpush("window", "after")
    with store(project, program) as client:
        assert client.llen("window") == 3


def test_a_restored_ledger_is_in_place_before_anything_runs_and_is_verified(project: Project) -> None:
    backed_up(project)
    project.deploy("--restore", "saved.tar.gz", "--yes")

    assert [call.partition(" -c ")[0] for call in project.changes()] == [
        "build web", "stop", "create store", "cp docker/backups/.part/store.rdb store:/data/restore.rdb",
        "run --rm --no-deps -T --entrypoint sh store", "up -d --remove-orphans --wait-timeout 300",
        "exec -T web chatbot verify",
    ]  # fmt: skip


def test_a_backup_can_be_read_by_its_owner_alone_and_leaves_nothing_behind(project: Project) -> None:
    archive = backed_up(project)

    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert not (project.root / "docker/backups/.part").exists()
    assert not (project.machine / "store/backup.rdb").exists()
    with tarfile.open(archive) as file:
        assert {"./env", "./store.rdb", "./secrets/store_password"} <= set(file.getnames())


@pytest.mark.long
def test_a_backup_has_a_name_of_its_own_unless_told(project: Project) -> None:
    backed_up(project)
    project.deploy("--backup")

    assert [path.name.split("-2")[0] for path in (project.root / "docker/backups").iterdir()] == ["chatbot"]


@pytest.mark.long
def test_the_users_of_rabbitmq_are_kept_since_its_volume_remembers_their_passwords(project: Project) -> None:
    archive = backed_up(project, "--broker", "rabbitmq")
    done = project.deploy("--restore", "saved.tar.gz", "--yes")

    assert done.status == 0, done.err
    with tarfile.open(archive) as file:
        assert "./definitions.json" in file.getnames()
    calls = project.changes()
    imported = next(place for place, call in enumerate(calls) if "import_definitions" in call)
    assert [call for call in calls[imported:] if call.startswith("up -d --remove-orphans")]


@pytest.mark.long
def test_an_empty_machine_becomes_the_deployment_of_the_backup(project: Project, tmp_path: Path) -> None:
    archive = backed_up(project, "--broker", "rabbitmq")
    (tmp_path / "elsewhere").mkdir()
    other = Project(tmp_path / "elsewhere")

    done = other.deploy("--restore", str(archive), "--yes")

    assert done.status == 0, done.err
    assert other.secrets() == project.secrets()
    assert {record["argv"][2] for record in other.records() if "exec" in record["argv"]} == {"compose.rabbitmq.yml"}


@pytest.mark.long
@pytest.mark.parametrize("answer", ["no\n", "", "y\n"])
def test_nothing_is_restored_without_a_yes(project: Project, answer: str) -> None:
    backed_up(project)
    before = project.snapshot()

    done = project.deploy("--restore", "saved.tar.gz", answer=answer)

    assert done.status == 4
    assert "may be sent again" in done.out
    assert project.snapshot() == before
    assert project.changes() == []


@pytest.mark.long
def test_what_is_no_backup_is_refused(project: Project) -> None:
    project.deployed()
    (project.machine / "other.tar.gz").write_text("not an archive")

    assert project.deploy("--restore", "other.tar.gz", "--yes").status == 4
    assert project.deploy("--restore", "missing.tar.gz", "--yes").status == 4
    assert project.changes() == []


@pytest.mark.long
def test_a_backup_of_another_broker_is_refused_while_the_deployment_runs(project: Project) -> None:
    backed_up(project, "--broker", "rabbitmq")
    project.deploy("--down")
    project.deploy("--broker", "redis")

    assert project.deploy("--restore", "saved.tar.gz", "--yes").status == 4


@pytest.mark.long
def test_a_store_that_does_not_run_cannot_be_backed_up(project: Project) -> None:
    project.deployed()
    project.deploy("--down")

    done = project.deploy("--backup")

    assert done.status == 4
    assert "the store does not run" in done.err


@pytest.mark.long
@pytest.mark.parametrize("call", ["build web", " stop", "create store", "cp docker", "entrypoint sh", "up -d"])
def test_a_restore_that_failed_anywhere_is_finished_by_the_next(project: Project, call: str) -> None:
    backed_up(project)
    project.world(fails={call: 1})
    failed = project.deploy("--restore", "saved.tar.gz", "--yes")
    project.world(fails={})

    done = project.deploy("--restore", "saved.tar.gz", "--yes")

    assert (failed.status, done.status) == (1, 0), done.err
    volume = project.machine / "store"
    assert (volume / "appendonlydir/appendonly.aof.1.base.rdb").read_text() == "REDIS"
    assert sorted(path.name for path in volume.iterdir() if path.name != "before-restore") == ["appendonlydir"]


def backed_up(project: Project, *options: str) -> Path:
    """Deploy, and write a backup of a store whose program is a stand-in, too."""
    project.deployed(*options)
    project.install("valkey-cli", 'printf REDIS >"$2"')
    done = project.deploy("--backup", "saved.tar.gz")
    assert done.status == 0, done.err
    (project.machine / "calls").write_text("")
    return project.machine / "saved.tar.gz"
