"""Fixtures of the operators' tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette

from chatbot import roles
from chatbot.web.outbox import Outbox
from tests.operations.house import House
from tests.operations.house import house as running
from tests.servers import RedisServer


@pytest.fixture
def outbox_url() -> Iterator[str]:
    """A dev outbox that shows two replies of c1 and one of c2."""
    outbox = Outbox("")
    for conversation in ("c1", "c2", "c1"):
        outbox._keep(
            "generic",
            {"reply_id": f"{conversation}{len(outbox.after(0))}", "text": "", "conversation_id": conversation},
        )
    sock = roles.listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=outbox.routes()), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    sock.close()


@pytest.fixture
def house(redis_server: RedisServer) -> Iterator[House]:
    """A service in this process, in a database of its own."""
    with running(redis_server.url.replace("/0", "/5")) as house:
        yield house
