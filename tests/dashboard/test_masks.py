"""What the dashboard shows of a call's arguments while personal data is masked: nothing that is somebody's."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.dashboard.interface import _mask
from tests.dashboard.conftest import Dashboard, House

PHONE = 4_917_055_512_340


@pytest.fixture
def kind() -> str:
    return "redis"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Maria", "•••"),
        (PHONE, "•••340"),
        (-PHONE, "•••340"),
        (52.520008, "•••008"),
        (1.5, "•••"),
        (12, 12),
        (True, True),
        (None, None),
        ({"name": "Maria", "+491705551234": 1}, {"name": "•••", "•••234": 1}),
        ([["Maria"], (PHONE,)], [["•••"], ["•••340"]]),
    ],
)
def test_texts_long_numbers_and_names_of_fields_that_are_none_are_masked(value: Any, shown: Any) -> None:
    assert _mask(value) == shown


def test_a_telephone_number_is_masked_wherever_it_is(dashboard: Dashboard, house: House) -> None:
    house.actor.send_with_options(args=(PHONE,), kwargs={f"+{PHONE}": {f"+{PHONE}": PHONE}}, about=f"+{PHONE}")
    (message_id,) = dashboard.ids("standard")
    for path in ("standard", f"standard/{message_id}"):
        assert str(PHONE) not in dashboard.get(f"queues/{house.queue}/{path}").text
    dashboard.browser.submit("/personal-data", "/dashboard/", show="1")
    assert str(PHONE) in dashboard.get(f"queues/{house.queue}/standard/{message_id}").text


def test_what_others_named_stays_text(dashboard: Dashboard, house: House) -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    house.broker.enqueue(house.actor.message("x").copy(actor_name=evil, message_id=f"{evil}/..?#\n"))
    dashboard.browser.submit("/personal-data", "/dashboard/", show="1")
    (listed,) = dashboard.ids("standard")
    for path in ("standard", f"standard/{listed}"):
        page = dashboard.get(f"queues/{house.queue}/{path}")
        assert page.status_code == 200
        assert "<img src=x" not in page.text
