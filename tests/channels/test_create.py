"""Making channels from settings."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from chatbot.channels import CHANNELS, create
from chatbot.errors import ConfigurationError

SECRET = "whsec_" + "A" * 32
GENERIC = {"secret": SECRET, "outbound_url": "https://example.com/replies"}
WHATSAPP = {"app_secret": "app", "verify_token": "verify", "access_token": "access"}


def problems(spec: str, options: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        create(spec, options)
    return caught.value.problems


@pytest.mark.parametrize(("spec", "options"), [("generic", GENERIC), ("whatsapp", WHATSAPP)])
def test_a_known_channel_is_made_by_its_name(spec: str, options: dict[str, str]) -> None:
    name, channel = create(spec, options)
    assert (name, channel.name, channel.media_types) == (spec, spec, {"application/json"})
    channel.close()


def test_every_known_channel_has_a_factory_that_lists_its_settings() -> None:
    for name in CHANNELS:
        assert all(problem.startswith(f"CHATBOT_{name.upper()}_") for problem in problems(name, {}))


def test_a_second_channel_of_a_known_kind_has_its_own_name_and_variables() -> None:
    name, channel = create("partner-a=generic", GENERIC)
    assert (name, channel.name) == ("partner-a", "partner-a")
    assert problems("partner-a=generic", {})[0].startswith("CHATBOT_PARTNER_A_SECRET is missing: ")


def test_a_channel_of_ones_own_is_named_by_module_and_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("their_channels")
    module.create = lambda *_: create("generic", GENERIC)[1]  # type: ignore[attr-defined]
    module.nothing = lambda *_: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_channels", module)
    assert create("theirs=their_channels:create", {})[0] == "theirs"
    assert "is no channel; no name, media_types" in problems("theirs=their_channels:nothing", {})[0]


def test_an_unknown_channel_is_answered_with_the_known_ones() -> None:
    assert problems("pigeon", {}) == [
        "there is no channel 'pigeon'; known are generic, whatsapp, and name=module:factory for one of your own"
    ]


@pytest.mark.parametrize("spec", ["", "=generic", "Generic", "a/b=generic", "a b", "é"])
def test_a_name_that_is_no_path_segment_is_refused(spec: str) -> None:
    assert "a name is made of" in problems(spec, {})[0]


def test_a_factory_that_is_not_there_is_a_configuration_error() -> None:
    assert "there is no module" in problems("mine=no_such_module_here:create", {})[0]


def test_all_problems_of_the_generic_channel_come_at_once_and_show_no_secret() -> None:
    bad = {"secret": "hunter2", "outbound_url": "example.com", "timeout_s": "fast", "resend_horizon_s": "-1"}
    found = problems("generic", bad)
    assert [problem.split()[0] for problem in found] == [
        "CHATBOT_GENERIC_SECRET",
        "CHATBOT_GENERIC_OUTBOUND_URL",
        "CHATBOT_GENERIC_TIMEOUT_S",
        "CHATBOT_GENERIC_RESEND_HORIZON_S",
    ]
    assert "hunter2" not in "".join(found)


def test_empty_settings_count_as_missing() -> None:
    assert len(problems("whatsapp", dict.fromkeys(WHATSAPP, " "))) == 3


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-5", "1e9", "x"])
def test_durations_are_positive_and_bounded(seconds: str) -> None:
    assert problems("generic", GENERIC | {"timeout_s": seconds})[0].startswith("CHATBOT_GENERIC_TIMEOUT_S is")


def test_a_generic_sender_may_resend_for_longer_than_a_day() -> None:
    assert create("generic", GENERIC)[1].resend_horizon == 86_400_000
    assert create("generic", GENERIC | {"resend_horizon_s": "172800"})[1].resend_horizon == 172_800_000


def test_only_senders_that_can_mend_a_bad_item_are_told_of_it() -> None:
    assert create("generic", GENERIC)[1].sender_mends
    assert not create("whatsapp", WHATSAPP)[1].sender_mends
