"""Operators' commands find the deployment of the environment, or the `chatbot dev` of this directory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.embedded.valkey import EmbeddedValkey
from chatbot.errors import ConfigurationError
from chatbot.operations.attached import attached
from tests.operations.house import House
from tests.waiting import wait_until


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a `chatbot dev` whose store runs."""
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        role = valkey.role()
        with subprocess.Popen(role.argv, pass_fds=role.pass_fds, stdout=subprocess.DEVNULL) as server:
            wait_until(valkey.is_ready)
            yield tmp_path
            server.terminate()


def test_without_a_store_in_the_environment_it_is_the_one_of_chatbot_dev(state: Path) -> None:
    with attached({}, state, broker=True) as service:
        assert service.settings.store_url.startswith("unix://")
        assert service.ready() == {"store": "ok", "broker": "ok"}


def test_the_environment_goes_first(state: Path, house: House) -> None:
    with attached(house.variables, state) as service:
        assert service.settings.store_url == house.variables["CHATBOT_STORE_URL"]


def test_where_there_is_neither_the_missing_variables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_STORE_URL is missing"), attached({}, tmp_path):
        pass
