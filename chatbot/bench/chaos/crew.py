"""The processes of a deployment between two proxies, each by a name under which it dies, sleeps and comes back."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from chatbot.bench.deployment import Deployment, Process
from chatbot.bench.proxy import Proxy
from chatbot.bench.servers import PrivateServer, free_port

#: s between two looks for processes that have ended by themselves.
LOOK = 0.5


class Crew:
    """A running deployment, and what stands between it and its servers.

    What ends by itself, because store or broker do not answer when it starts, is started again, as a supervisor would.
    """

    def __init__(self, house: Deployment) -> None:
        self.house, self.store, self.broker = house, house.store, house.broker
        self.to_store, self.to_broker = Proxy(self.store.port, free_port()), Proxy(self.broker.port, free_port())
        self.processes: dict[str, Process] = {}
        #: Names of processes that have ended by themselves, as often as they did.
        self.revived: list[str] = []
        self._dead: set[str] = set()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._watch = threading.Thread(target=self._revive, name="crew")

    @property
    def commands(self) -> dict[str, tuple[str, ...]]:
        """How each process is started."""
        worker = ("worker", "--threads", "4")
        web = ("web", "--port", str(self.house.port))
        return {"web": web, "worker-1": worker, "worker-2": worker, "scheduler": ("scheduler",)}

    def __enter__(self) -> Crew:
        with ExitStack() as stack:
            for proxy in (self.to_store, self.to_broker):
                stack.enter_context(proxy)
            self.house.settings["CHATBOT_STORE_URL"] = _by_way_of(self.to_store, self.store)
            self.house.settings["CHATBOT_BROKER_URL"] = _by_way_of(self.to_broker, self.broker)
            for name in ("scheduler", "worker-2"):
                self.start(name)
            self.processes["worker-1"] = self.house.start_worker(*self.commands["worker-1"][1:])
            self.processes["web"] = self.house.start_web()
            self._watch.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._watch.join()
        self._stack.close()

    def start(self, name: str) -> None:
        """Start a process, in place of one that died."""
        with self._lock:
            self._dead.discard(name)
            self._start(name)

    def kill(self, name: str) -> None:
        """Kill a process on the spot; it stays dead until it is started."""
        with self._lock:
            self._dead.add(name)
            self.processes[name].kill()

    def _start(self, name: str) -> None:
        if name not in self.processes or self.processes[name].popen.poll() is not None:
            self.processes[name] = self.house.start(*self.commands[name])

    def _revive(self) -> None:
        while not self._over.wait(LOOK):
            with self._lock:
                ended = [name for name, process in self.processes.items() if process.popen.poll() is not None]
                for name in set(ended) - self._dead:
                    self.revived.append(name)
                    self._start(name)


def _by_way_of(proxy: Proxy, server: PrivateServer) -> str:
    """Return a server's URL through its proxy."""
    return server.url.replace(f":{server.port}/", f":{proxy.port}/")
