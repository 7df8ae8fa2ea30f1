"""Names in links are sealed: they can be opened here, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as chosen
from hypothesis import strategies as st

from chatbot.console.seals import Seals
from chatbot.settings import Settings, read

UNHURRIED = chosen(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def settings(password: str = "a long password") -> Settings:
    urls = {"CHATBOT_BROKER_URL": "redis://127.0.0.1/0", "CHATBOT_STORE_URL": "redis://127.0.0.1/1"}
    return read(urls | {"CHATBOT_ADMIN_PASSWORD": password})


@chosen(UNHURRIED)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_what_was_sealed_is_opened_in_every_process(name: str) -> None:
    sealed = Seals(settings()).seal(name)
    assert Seals(settings()).open(sealed) == name
    assert sealed.replace("-", "").replace("_", "").isalnum()


def test_a_seal_shows_nothing_of_the_name_and_is_always_the_same() -> None:
    seals = Seals(settings())
    name = "generic::+491705551234"
    assert seals.seal(name) == seals.seal(name) != seals.seal(name + "5")
    assert len({seals.seal(f"{name}{n}")[:8] for n in range(100)}) == 100


@chosen(UNHURRIED)
@given(st.text(max_size=80))
def test_what_we_did_not_seal_is_not_opened(sealed: str) -> None:
    assert Seals(settings()).open(sealed) is None


@pytest.mark.parametrize("place", [0, 15, 16, 30])
def test_a_seal_that_was_changed_is_not_opened(place: int) -> None:
    seals = Seals(settings())
    sealed = seals.seal("generic::+491705551234")
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    assert seals.open(changed) is None


def test_another_deployment_does_not_open_it() -> None:
    assert Seals(settings("another password")).open(Seals(settings()).seal("generic::c1")) is None
