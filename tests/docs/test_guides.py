"""Every command of every page works, in the order of the page; what is not run says why on the page, or in the table.

A block that is not run is looked at all the same: see test_pages.py.
"""

from __future__ import annotations

import doctest
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from chatbot.channels.standard_webhooks import read_secrets, sign
from tests.docs.markdown import ROOT
from tests.docs.place import Place, dev
from tests.docs.shell import Block, fences, pages
from tests.servers import RedisServer, free_port

#: Commands that are not run here, and why.
ELSEWHERE = {
    r"git clone .*|cd chatbot": "the project is here",
    r"make setup": "it is what runs the tests",
    r"make run|(\.venv/bin/)?chatbot dev": "it is what runs beside all pages",
    r"make (test|test-long|lint|bench|format|lock|sbom)\b.*": "they run this",
    r"python -m pytest .*": "tests/docs has a test for its page",
    r"(\.venv/bin/)?chatbot bench .*": "it takes minutes, and tests/bench runs it",
    r".*\bamqp://.*": "tests/e2e runs workers on RabbitMQ",
}
#: Commands that go on until somebody stops them, with the variables before them.
ENDLESS = (
    r"(?P<settings>(?:[A-Z_]+=\S+ )*)"
    r"(?:make (?P<run>run)|(?:\.venv/bin/)?chatbot (?P<role>dev|web|worker|scheduler)\b.*)"
)
#: The page that everybody reads first; the others are long.
FIRST = "docs/run-now.md"
#: What every process needs, beside what the page tells it.
NEEDED = {
    "CHATBOT_STORE_URL": "redis://127.0.0.1:6379/0", "CHATBOT_BROKER_URL": "redis://127.0.0.1:6379/1",
    "CHATBOT_GENERIC_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "CHATBOT_GENERIC_OUTBOUND_URL": "https://example.com/replies", "CHATBOT_ADMIN_PASSWORD": "a password of the tests",
}  # fmt: skip
#: What need not be asked twice of the service that all pages share.
SAME = r"(\.venv/bin/)?chatbot (doctor|verify|simulate)"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

RUN = {
    str(page.relative_to(ROOT)): page
    for page in pages()
    # What a translation says is what its page says: test_pages.py.
    if page.parent.name != "pt-BR" and any(b.language in ("sh", "console") and not b.reason for b in fences(page))
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """What `make run` starts, with the message that the README shows."""
    port = free_port()
    with dev(tmp_path_factory.mktemp("dev"), port) as state:
        (body,) = re.findall(r"```json\n(\{\"messages\": \[\{\"message_id\".*)\n```", (ROOT / "README.md").read_text())
        keys = read_secrets((state / "generic.secret").read_text())
        headers = sign(keys, "readme", body.encode()) | {"content-type": "application/json"}
        httpx.post(f"http://127.0.0.1:{port}/webhooks/generic", content=body, headers=headers).raise_for_status()
        yield port, state


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    """Takes replies, as the pages' https://example.com/replies does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def place(service: tuple[int, Path], redis_server: RedisServer, receiver: str, tmp_path: Path) -> Place:
    redis_server.flush()
    ours = {"redis://127.0.0.1:6379": redis_server.url.rpartition("/")[0], "https://example.com": receiver}
    return Place(tmp_path, *service, stands_for=ours)


@pytest.mark.parametrize(
    "page", [each if each == FIRST else pytest.param(each, marks=pytest.mark.long) for each in RUN]
)
def test_the_commands_of_a_page_work(page: str, place: Place) -> None:
    with ExitStack() as running:
        for fence in fences(RUN[page]):
            if fence.language == "python" and (name := re.match(r"# (\w+\.py)\b", fence.text)):
                (place.directory / name[1]).write_text(fence.text)
            elif fence.language == "console" and not fence.reason:
                converse(place, fence)
            elif fence.language == "sh" and not fence.reason:
                work(place, fence.text, running)


def work(place: Place, script: str, running: ExitStack) -> None:
    """Run a block as one script, up to each command that does not end."""
    waiting: list[str] = []
    for line in re.sub(r"\\\n\s*", " ", script).splitlines():
        command = re.sub(r"\s+#\s.*", "", line).strip()
        if any(re.fullmatch(pattern, command) for pattern in ELSEWHERE) or was_asked(place, command):
            continue
        if not (endless := re.fullmatch(ENDLESS, command)):
            waiting.append(line)
            continue
        place.run("\n".join(waiting))
        waiting.clear()
        serve(place, endless, running)
    place.run("\n".join(waiting))


_asked: set[tuple[int, str]] = set()


def was_asked(place: Place, command: str) -> bool:
    """Say whether this very service was asked this before, by whichever page."""
    if not re.fullmatch(SAME, command):
        return False
    asked = (place.port, command.removeprefix(".venv/bin/"))
    known = asked in _asked
    _asked.add(asked)
    return known


def serve(place: Place, found: re.Match[str], running: ExitStack) -> None:
    """Run what does not end; a `chatbot dev` of the page's own is the one that it speaks of from now on."""
    if found["run"] or found["role"] == "dev":
        state, port = f"state{free_port()}", free_port()
        command = f"{found['settings']}chatbot dev --port {port} --state {state}"
        running.enter_context(place.serving("dev", command, {}))
        place.move(port, state)
        return
    command = found[0]
    if found["role"] == "web":
        place.port = free_port()
        command = command.replace("--port 8000", f"--port {place.port}")
    # A page that deploys writes its own settings; elsewhere the page is about one of them.
    needed = {} if (place.directory / ".env").exists() else NEEDED
    running.enter_context(place.serving(found["role"], command, needed))


def converse(place: Place, block: Block) -> None:
    """Run a console's commands one by one, and compare what they print with what the page shows, `...` being any."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        printed = place.run(command)
        if shown.strip():
            assert doctest.OutputChecker().check_output(shown, printed, FLAGS), f"{block.where}: {command}\n{printed}"
