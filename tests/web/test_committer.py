"""Group commit: many requests share few calls, and none of them pays for another."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from chatbot.errors import StoreUnavailable
from chatbot.model import InboundMessage
from chatbot.web.committer import ENOUGH, Committer
from tests.web.house import Ledger


def messages(*names):
    return [InboundMessage(channel="c", conversation_id="c1", message_id=name, dedupe_key=name) for name in names]


async def until(predicate):
    async with asyncio.timeout(10):
        while not predicate():
            await asyncio.sleep(0.001)


def run(scenario, ledger, **options):
    """Run the scenario with a started committer, and stop it."""

    async def whole():
        committer = Committer(ledger.admit, **options)
        await committer.start()
        try:
            await scenario(committer)
        finally:
            ledger.gate.set()
            await committer.stop()

    asyncio.run(whole())


async def with_one_on_its_way(committer, ledger):
    """Leave a first request with the ledger, so that all that follow must wait."""
    ledger.gate.clear()
    first = asyncio.create_task(committer.submit(messages("first")))
    await until(lambda: ledger.calls)
    return first


async def waiting(committer, *submissions):
    tasks = [asyncio.create_task(committer.submit(submission)) for submission in submissions]
    await asyncio.sleep(0)  # each task runs up to its wait
    return tasks


def test_outcomes_come_back_in_order_to_the_request_that_asked(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        tasks = await waiting(committer, messages("a", "b", "a"), messages("b"), messages("c", "first"))
        ledger.gate.set()
        assert await first == ["absorbed"]
        assert [await task for task in tasks] == [
            ["absorbed", "absorbed", "duplicate"], ["duplicate"], ["absorbed", "duplicate"],
        ]  # fmt: skip

    run(scenario, ledger)


def test_all_that_wait_are_admitted_with_one_call(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        names = [f"m{number}" for number in range(ENOUGH)]
        tasks = await waiting(committer, *(messages(name) for name in names))
        ledger.gate.set()
        await asyncio.gather(first, *tasks)
        assert ledger.calls == [["first"], names]

    run(scenario, ledger)


def test_requests_that_come_in_one_iteration_of_the_loop_are_admitted_with_one_call(ledger):
    async def scenario(committer):
        names = [f"m{number}" for number in range(5)]
        await asyncio.gather(*(committer.submit(messages(name)) for name in names))
        assert ledger.calls == [names]

    run(scenario, ledger)


def test_a_batch_is_half_of_what_is_not_answered(ledger):
    """All in one would be answered, asked again and admitted together for ever: the store waits, then the loop does."""

    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        names = [f"m{number}" for number in range(4 * ENOUGH - 1)]
        tasks = await waiting(committer, *(messages(name) for name in names))
        ledger.gate.set()
        await asyncio.gather(first, *tasks)
        sizes = [len(call) for call in ledger.calls]
        assert sizes[:2] == [1, 2 * ENOUGH - 1]
        assert max(sizes[2:]) <= ENOUGH
        assert [name for call in ledger.calls for name in call] == ["first", *names]

    run(scenario, ledger)


def test_a_large_batch_leaves_before_the_loop_has_read_all(ledger):
    """The store works while the loop reads on."""
    left = []

    def admit(batch):
        left.append([message.message_id for message in batch])
        return ledger.admit(batch)

    async def whole():
        committer = Committer(admit)
        await committer.start()
        names = [f"m{number}" for number in range(ENOUGH + 5)]
        seen = []

        async def submit(name):
            seen.append(len(left))
            return await committer.submit(messages(name))

        assert await asyncio.gather(*map(submit, names)) == [["absorbed"]] * len(names)
        assert seen == [0] * ENOUGH + [1] * 5
        assert left == [names[:ENOUGH], names[ENOUGH:]]
        await committer.stop()

    asyncio.run(whole())


def test_what_admit_raises_at_once_is_its_requests_own(ledger):
    def admit(batch):
        if any(message.message_id == "poison" for message in batch):
            raise ValueError("poison")
        return ledger.admit(batch)

    async def whole():
        committer = Committer(admit)
        await committer.start()
        before, poison, after = await waiting(committer, messages("a"), messages("poison"), messages("b"))
        assert [await before, await after] == [["absorbed"]] * 2
        with pytest.raises(RuntimeError, match="not admitted"):
            await poison
        assert await committer.submit(messages("c")) == ["absorbed"]
        await committer.stop()

    asyncio.run(whole())


def test_a_stop_takes_along_what_has_just_come(ledger):
    async def scenario(committer):
        [task] = await waiting(committer, messages("a"))
        await committer.stop()
        async with asyncio.timeout(10):
            assert await task == ["absorbed"]

    run(scenario, ledger)


def test_a_committer_that_was_stopped_can_be_started_again(ledger):
    async def scenario(committer):
        await committer.stop()
        await committer.start()
        assert await asyncio.wait_for(committer.submit(messages("a")), 10) == ["absorbed"]

    run(scenario, ledger)


def test_the_next_batch_leaves_when_the_one_before_it_is_answered(ledger):
    """So what a sender says later is never admitted sooner."""

    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        later = await waiting(committer, *(messages(name) for name in "abc"))
        for _ in range(20):  # a batch that would leave does so within two iterations
            await asyncio.sleep(0)
        assert ledger.calls == [["first"]]
        ledger.gate.set()
        await asyncio.gather(first, *later)
        assert ledger.calls == [["first"], ["a", "b", "c"]]

    run(scenario, ledger)


def test_what_a_batch_logs_is_no_single_requests(ledger):
    """The request that begins a batch has a correlation id in its context."""
    mine = ContextVar("mine")
    seen = []

    async def admit(batch):
        seen.append(mine.get(None))
        return ["absorbed"] * len(batch)

    async def whole():
        committer = Committer(admit)
        await committer.start()
        mine.set("this request's")
        await committer.submit(messages("a"))
        await committer.stop()

    asyncio.run(whole())
    assert seen == [None]


def test_the_end_of_the_loop_is_a_refusal_for_all_who_wait(ledger):
    """It cancels once, and then waits: nothing more may be tried."""

    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        tasks = await waiting(committer, messages("a", "b"), messages("c"))
        (work,) = [task for task in asyncio.all_tasks() if task.get_name() == "committer"]
        work.cancel()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert ledger.calls == [["first"]]
        ledger.gate.set()
        assert await committer.submit(messages(*"defg")) == ["absorbed"] * 4

    run(scenario, ledger, max_batch=2, max_backlog=4)


def test_a_cancel_between_two_batches_stops_nothing_for_good(ledger):
    async def scenario(committer):
        for number in range(20):
            task = asyncio.create_task(committer.submit(messages(str(number))))
            while not task.done():
                await asyncio.sleep(0)
            for work in asyncio.all_tasks():
                if work.get_name() == "committer":
                    work.cancel()
        async with asyncio.timeout(10):
            assert await committer.submit(messages("last")) == ["absorbed"]

    run(scenario, ledger)


def test_a_stop_that_gives_up_refuses_who_waits(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        (later,) = await waiting(committer, messages("a"))
        await committer.stop(timeout=0.01)
        results = await asyncio.gather(first, later, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 2

    run(scenario, ledger)


def test_a_committer_starts_on_another_loop(ledger):
    committer = Committer(ledger.admit)

    async def ends_in_the_middle():
        await committer.start()
        await with_one_on_its_way(committer, ledger)
        ledger.gate.set()

    async def whole():
        await committer.start()
        return await committer.submit(messages("b"))

    asyncio.run(ends_in_the_middle())
    assert asyncio.run(whole()) == ["absorbed"]


def test_a_lone_request_waits_for_nobody(ledger):
    async def scenario(committer):
        for number in range(50):
            await committer.submit(messages(str(number)))
        assert ledger.calls == [[str(number)] for number in range(50)]

    run(scenario, ledger)


def test_a_batch_is_bounded_and_keeps_the_order(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        tasks = await waiting(committer, messages("a", "b"), messages("c", "d"), messages(*"efghijk"))
        ledger.gate.set()
        await asyncio.gather(first, *tasks)
        assert ledger.calls == [["first"], ["a", "b"], ["c", "d"], [*"efg"], [*"hij"], ["k"]]
        assert await tasks[2] == ["absorbed"] * 7

    run(scenario, ledger, max_batch=3)


def test_a_full_backlog_refuses_at_once_and_takes_again_when_it_has_drained(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        [fits] = await waiting(committer, messages("a", "b", "c"))
        with pytest.raises(StoreUnavailable, match="4 messages wait"):
            await committer.submit(messages("d"))
        ledger.gate.set()
        await asyncio.gather(first, fits)
        assert await committer.submit(messages("d")) == ["absorbed"]

    run(scenario, ledger, max_backlog=4)


def test_a_request_larger_than_the_backlog_is_taken_when_it_is_alone(ledger):
    async def scenario(committer):
        assert await committer.submit(messages("a", "b", "c")) == ["absorbed"] * 3

    run(scenario, ledger, max_backlog=2)


def test_a_cancelled_request_harms_no_neighbour_and_leaves_the_backlog(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        gone, stays = await waiting(committer, messages("a"), messages("b"))
        gone.cancel()
        ledger.gate.set()
        assert await stays == ["absorbed"]
        assert await first == ["absorbed"]
        assert gone.cancelled()
        assert await committer.submit(messages("c", "d", "e")) == ["absorbed"] * 3

    run(scenario, ledger, max_backlog=3)


def test_an_outage_fails_those_who_wait_and_nobody_after_it(ledger):
    async def scenario(committer):
        first = await with_one_on_its_way(committer, ledger)
        tasks = await waiting(committer, messages("a"), messages("b"))
        ledger.state = {"store": "down"}
        ledger.gate.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert len({id(result) for result in results}) == 3
        ledger.state = {"store": "ok"}
        assert await committer.submit(messages("a")) == ["absorbed"]

    run(scenario, ledger)


def test_a_request_that_admit_chokes_on_fails_alone(ledger):
    async def scenario(committer):
        ledger.poison = "poison"
        first = await with_one_on_its_way(committer, ledger)
        before, poison, after = await waiting(committer, messages("a"), messages("poison"), messages("b"))
        ledger.gate.set()
        assert [await first, await before, await after] == [["absorbed"]] * 3
        with pytest.raises(RuntimeError, match="not admitted") as caught:
            await poison
        assert isinstance(caught.value.__cause__, ValueError)

    run(scenario, ledger)


def test_an_outcome_too_few_is_nobodys_yes():
    class Forgetful(Ledger):
        async def admit(self, batch):
            return (await super().admit(batch))[1:]

    async def scenario(committer):
        with pytest.raises(RuntimeError, match="not admitted"):
            await committer.submit(messages("a", "b"))

    run(scenario, Forgetful())


def test_a_stop_admits_what_waits_and_takes_nothing_new(ledger):
    async def scenario():
        committer = Committer(ledger.admit, max_batch=2)
        with pytest.raises(StoreUnavailable, match="before the start"):
            await committer.submit(messages("early"))
        await committer.start()
        first = await with_one_on_its_way(committer, ledger)
        tasks = await waiting(committer, messages("a", "b"), messages("c", "d"))
        stop = asyncio.create_task(committer.stop())
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="after the stop"):
            await committer.submit(messages("late"))
        ledger.gate.set()
        await stop
        assert [await task for task in (first, *tasks)] == [["absorbed"], ["absorbed"] * 2, ["absorbed"] * 2]
        assert "committer" not in {task.get_name() for task in asyncio.all_tasks()}

    asyncio.run(scenario())
