"""A function of the user's answers: plain or async, in a few forms, on one event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from chatbot.errors import Permanent, Transient
from chatbot.model import Attachment, Draft
from chatbot.responders.python import Python
from tests.responders.turns import message, turn
from tests.waiting import wait_until

IMAGE = Draft(attachments=(Attachment(url="https://files.example/a.jpg"),))


@pytest.mark.parametrize(
    ("returned", "drafts"),
    [
        ("hello", [Draft(text="hello")]),
        (IMAGE, [IMAGE]),
        (["one", Draft(text="two"), None, ("three",)[0]], [Draft(text="one"), Draft(text="two"), Draft(text="three")]),
        (("one", IMAGE), [Draft(text="one"), IMAGE]),
        (None, []),
        ([], []),
        (" \n", []),
    ],
)
def test_text_drafts_lists_and_nothing_are_replies(returned, drafts):
    assert Python(lambda _: returned).respond(turn()) == drafts


@pytest.mark.parametrize(
    ("returned", "named"),
    [(42, "returned a int"), ({"text": "hi"}, "a dict"), (["ok", b"raw"], "a bytes at [1]"), ([["a"]], "a list at [0]"),
     (Draft(text=7), "a Draft"), ((part for part in "ab"), "a generator")],
)  # fmt: skip
def test_anything_else_is_permanent_and_named(returned, named):
    with pytest.raises(Permanent) as caught:
        Python(lambda _: returned).respond(turn())
    assert named in str(caught.value)


def test_the_function_sees_the_whole_turn():
    seen = []
    asked = turn(message("m1"), message("m2"))
    Python(seen.append).respond(asked)
    assert seen == [asked]


@pytest.mark.parametrize("error", [Transient("later", retry_after=7), Permanent("never"), KeyError("bug")])
def test_what_a_function_raises_reaches_the_actor(error):
    def plain(request):
        raise error

    async def deferred(request):
        raise error

    for function in (plain, deferred):
        responder = Python(function)
        with pytest.raises(type(error)) as caught:
            responder.respond(turn())
        assert caught.value is error
        responder.close()


async def shout(suffix, request):
    await asyncio.sleep(0)
    return request.messages[0].text + suffix


class Deferred:
    async def __call__(self, request):
        return "hi!"


@pytest.mark.parametrize("function", [partial(shout, "!"), Deferred(), lambda request: shout("!", request)])
def test_an_async_function_is_awaited_however_it_is_wrapped(function):
    responder = Python(function)
    assert [draft.text for draft in responder.respond(turn())] == ["hi!"]
    responder.close()


def test_all_threads_share_one_event_loop_on_which_their_calls_meet():
    loops = set()

    async def respond(request):
        loops.add((asyncio.get_running_loop(), threading.current_thread()))
        await everyone_is_here.wait()
        return request.turn_id

    everyone_is_here = asyncio.Barrier(4)
    responder = Python(respond, timeout=10)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda turn_id: responder.respond(turn(turn_id=turn_id)), "abcd"))
    assert [draft.text for [draft] in answers] == list("abcd")
    assert len(loops) == 1
    responder.close()


def test_a_plain_function_starts_no_event_loop():
    before = set(threading.enumerate())
    responder = Python(lambda _: "hi")
    responder.respond(turn())
    assert set(threading.enumerate()) <= before
    responder.close()


def test_an_async_function_that_takes_too_long_is_cancelled_and_asked_again_later():
    cancelled = threading.Event()

    async def respond(request):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    responder = Python(respond, timeout=1)  # what has not even begun by then would have nothing to tell
    with pytest.raises(Transient, match="in time"):
        responder.respond(turn())
    assert cancelled.wait(20)
    responder.close()


def test_a_timeout_of_the_functions_own_is_its_own_error():
    async def respond(request):
        raise TimeoutError("the model")

    responder = Python(respond)
    with pytest.raises(TimeoutError, match="the model"):
        responder.respond(turn())
    responder.close()


def test_close_cancels_what_runs_and_ends_the_thread():
    running = threading.Event()

    async def respond(request):
        running.set()
        await asyncio.Event().wait()

    responder = Python(respond)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(responder.respond, turn())
        assert running.wait(5)
        responder.close()
        with pytest.raises(Transient, match="cancelled"):
            answer.result(5)
    wait_until(lambda: "responder-loop" not in {thread.name for thread in threading.enumerate()})
    responder.close()
    with pytest.raises(Transient, match="closed"):
        responder.respond(turn())
