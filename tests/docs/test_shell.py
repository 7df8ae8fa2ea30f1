"""Reading the pages finds what is there, and what is wrong with it: otherwise every page would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import shell
from tests.docs.known import is_variable, wrong

PAGE = """# A page

<!-- not run: it takes a day -->
```sh
chatbot bench all
```

1. An item with `chatbot verify --quick`:

   ```console
   $ chatbot dead list
   There are no dead letters.
   ```

```json
{"chatbot": "dev"}
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shell, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_are_found_with_their_reasons(page: Path) -> None:
    first, second = shell.blocks(page)
    assert (first.where, first.reason, first.script) == ("page.md:4", "it takes a day", "chatbot bench all\n")
    assert (second.line, second.reason, second.script) == (10, "", "chatbot dead list")


def test_commands_are_found_in_blocks_and_in_prose(page: Path) -> None:
    assert [" ".join(command) for _, command in shell.told(page)] == [
        "chatbot bench all",
        "chatbot dead list",
        "chatbot verify --quick",
    ]


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("chatbot verfy", "verfy"),
        (".venv/bin/chatbot verify --quick", "--quick"),
        ("A=b chatbot dead lits", "lits"),
        ("chatbot dead list --foo", "--foo"),
        ("docker compose -f compose.redis.yml exec worker chatbot docter", "docter"),
        ("docker compose -f compose.redis.yml logs --tail 5 worker wrker", "wrker"),
        ("docker compose -f compose.redis.yml up -d --scale wrker=5", "wrker"),
        ("docker compose -f compose.radis.yml ps", "compose.radis.yml"),
        ("docker/deploy.sh --upgade", "--upgade"),
        ("make rnu", "rnu"),
    ],
)
def test_a_name_that_is_nowhere_is_found(line: str, lacks: str) -> None:
    assert any(lacks in wrong(command) for command in shell.words(line))


@pytest.mark.parametrize(
    "line",
    [
        "CHATBOT_RESPONDER=my_bot:reply .venv/bin/chatbot dev --port 8080 | tee log && make run",
        "docker compose -f compose.rabbitmq.yml --env-file docker/.env exec -T rabbitmq rabbitmqctl list_queues",
        "docker/deploy.sh --backup /tmp/file --dry-run",
        "chatbot dead list|show|replay|drop",
        "git clone https://example.com/chatbot && cd chatbot",
    ],
)
def test_what_is_there_is_not_wrong(line: str) -> None:
    assert [wrong(command) for command in shell.words(line)] == [""] * len(shell.words(line))


def test_variables_are_those_of_settings_channels_and_files() -> None:
    for name in (
        "CHATBOT_STORE_URL",
        "CHATBOT_WHATSAPP_ACCESS_TOKEN",
        "CHATBOT_STORE_PASSWORD_FILE",
        "CHATBOT_GENERIC_",
    ):
        assert is_variable(name), name
    for name in ("CHATBOT_STORE_URI", "CHATBOT_WHATSAP_ACCESS_TOKEN", "CHATBOT_NONE_"):
        assert not is_variable(name), name
