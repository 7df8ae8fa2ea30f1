"""A debounced call has no result of its own, so it is no part of a group or a pipeline."""

from __future__ import annotations

import pytest
from dramatiq import group, pipeline

from chatbot.errors import NotComposable
from tests.middleware.running import House, window
from tests.waiting import wait_until


@pytest.fixture
def actors(memory: House) -> tuple[object, object]:
    debounced = memory.declare(
        lambda items: None, actor_name="debounced", debounced=window(wait=60_000, max_wait=60_000)
    )
    plain = memory.declare(lambda *args: "a1", actor_name="plain")
    return debounced, plain


@pytest.mark.parametrize("place", ["first", "last", "middle"])
def test_a_pipeline_with_a_debounced_call_is_refused_to_its_sender(memory: House, actors: tuple, place: str) -> None:
    debounced, plain = actors
    calls = {
        "first": [debounced.message("a"), plain.message()],
        "last": [plain.message(), debounced.message()],
        "middle": [plain.message(), plain.message(), debounced.message(), plain.message()],
    }[place]
    with pytest.raises(NotComposable):
        pipeline(calls, broker=memory.broker).run()
    assert memory.broker.published == 0
    assert memory.state(debounced) == "idle"


def test_a_group_with_a_debounced_call_is_refused_to_its_sender(memory: House, actors: tuple) -> None:
    debounced, plain = actors
    calls = group([debounced.message("a"), plain.message()], broker=memory.broker)
    calls.add_completion_callback(plain.message())
    with pytest.raises(NotComposable):
        calls.run()
    assert memory.state(debounced) == "idle"


def test_a_call_that_opted_out_can_be_composed(memory: House) -> None:
    runs: list[object] = []
    debounced = memory.declare(lambda items: items[0] + "!", actor_name="d", debounced=window())
    plain = memory.declare(lambda text: runs.append(text), actor_name="p")
    memory.work()
    alone = debounced.message_with_options(args=("a1",), debounced=None)
    pipeline([alone, plain.message()], broker=memory.broker).run()
    wait_until(lambda: runs == ["a1!"])


def test_the_callback_of_a_group_may_be_debounced(memory: House) -> None:
    runs: list[list[str]] = []
    debounced = memory.declare(lambda items: runs.append(items), actor_name="d", debounced=window())
    plain = memory.declare(lambda: None, actor_name="p")
    calls = group([plain.message(), plain.message()], broker=memory.broker)
    calls.add_completion_callback(debounced.message("a done"))
    memory.work()
    calls.run()
    wait_until(lambda: runs == [["a done"]])
