"""The application as a whole: probes, hooks, many callers at once, and a lifespan that loses nothing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chatbot.web.app import create_app
from chatbot.web.readiness import Readiness
from tests.waiting import wait_until
from tests.web.house import TRUSTED, Ledger, Plain, body, served


def test_health_says_that_the_process_is_up_whatever_the_store_does(web, ledger):
    ledger.state = {"store": "down"}
    answer = web.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_is_200_while_the_store_answers_even_without_a_broker(web, ledger):
    ledger.state = {"store": "ok", "broker": "down: refused"}
    answer = web.get("/ready")
    assert (answer.status_code, answer.json()["broker"]) == (200, "down: refused")


def test_ready_is_503_without_the_store_and_reports_both(web, ledger):
    ledger.state = {"store": "down: timeout", "broker": "ok"}
    answer = web.get("/ready")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    assert (answer.json()["store"], answer.json()["broker"]) == ("down: timeout", "ok")


def test_probes_at_the_same_time_share_one_look(ledger):
    async def scenario():
        readiness = Readiness(ledger.look, fresh_for=0)
        ledger.gate.clear()
        probes = [asyncio.create_task(readiness.ready(None)) for _ in range(20)]
        await asyncio.sleep(0)  # each of them runs up to its wait
        ledger.gate.set()
        assert {(await probe).status_code for probe in probes} == {200}
        assert ledger.looks == 1

    asyncio.run(scenario())


def test_a_stale_result_is_looked_up_again(ledger):
    async def scenario():
        readiness = Readiness(ledger.look, fresh_for=0)
        assert (await readiness.ready(None)).status_code == 200
        ledger.state = {"store": "down"}
        assert (await readiness.ready(None)).status_code == 503

    asyncio.run(scenario())


def test_a_look_that_hangs_is_503_and_no_second_one_joins_it(ledger):
    async def scenario():
        readiness = Readiness(ledger.look, patience=0.01)
        ledger.gate.clear()
        assert [(await readiness.ready(None)).status_code for _ in range(3)] == [503] * 3
        wait_until(lambda: ledger.looks)  # its thread may begin later than nobody waits for it any more
        assert ledger.looks == 1
        ledger.gate.set()

    asyncio.run(scenario())


def test_a_look_that_fails_is_503():
    def broken():
        raise OSError("redis://:password@store.example")

    answer = asyncio.run(Readiness(broken).ready(None))
    assert answer.status_code == 503
    assert b"password" not in answer.body


def test_many_callers_share_few_admissions(ledger, plain):
    count = 80
    app = create_app(channels={"plain": plain}, admit=ledger.admit, ready=ledger.look)

    async def everybody(url):
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False, timeout=60) as client:
            posts = [client.post("/webhooks/plain", content=body(f"m{n}"), headers=TRUSTED) for n in range(count)]
            return await asyncio.gather(*posts)

    ledger.gate.clear()  # the first of them is on its way, so the others gather behind it
    with served(app) as url, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, everybody(url))
        wait_until(lambda: plain.bodies == count, timeout=30)
        ledger.gate.set()
        assert {(answer.status_code, answer.text) for answer in answers.result()} == {
            (200, '{"accepted":1,"duplicates":0}')
        }
    assert sorted(name for call in ledger.calls for name in call) == sorted(f"m{n}" for n in range(count))
    # The first, half of the rest (40 at most), of what is left as many as are enough for a batch (32), and the last.
    assert len(ledger.calls) <= 4


def test_a_full_backlog_is_503_with_retry_after(ledger, plain):
    app = create_app(channels={"plain": plain}, admit=ledger.admit, ready=ledger.look, max_backlog=1)
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as web, ThreadPoolExecutor(1) as pool:
        ledger.gate.clear()
        first = pool.submit(web.post, "/webhooks/plain", content=body("m1"), headers=TRUSTED)
        wait_until(lambda: ledger.calls)
        refused = web.post("/webhooks/plain", content=body("m2"), headers=TRUSTED)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        ledger.gate.set()
        assert first.result().status_code == 200
        assert web.post("/webhooks/plain", content=body("m2"), headers=TRUSTED).status_code == 200


def test_a_shutdown_answers_what_was_asked(ledger, plain):
    app = create_app(channels={"plain": plain}, admit=ledger.admit, ready=ledger.look)
    with ThreadPoolExecutor(1) as pool:
        with served(app) as url:
            ledger.gate.clear()
            answer = pool.submit(httpx.post, f"{url}/webhooks/plain", content=body("m1"), headers=TRUSTED)
            wait_until(lambda: ledger.calls)
            opener = threading.Timer(0.2, ledger.gate.set)
            opener.start()
        assert answer.result().status_code == 200
        opener.join()


def test_hooks_run_in_order_in_threads_and_the_shutdown_survives_a_failure(plain):
    told, loop_threads = [], []

    def note(name):
        def hook():
            told.append(name)
            assert threading.current_thread() not in loop_threads
            if name == "breaks":
                raise OSError(name)

        return hook

    async def whole():
        loop_threads.append(threading.current_thread())
        ledger = Ledger()
        app = create_app(
            channels={"plain": plain}, admit=ledger.admit, ready=ledger.look,
            on_startup=[note("open"), note("warm")], on_shutdown=[note("breaks"), note("close")],
        )  # fmt: skip
        with pytest.raises(OSError, match="breaks"):
            async with app.router.lifespan_context(app):
                told.append("serving")

    asyncio.run(whole())
    assert told == ["open", "warm", "serving", "breaks", "close"]


def test_further_routes_and_their_problems_are_served(ledger):
    def page(request):
        return PlainTextResponse("a page")

    app = create_app(
        channels={"plain": Plain()}, admit=ledger.admit, ready=ledger.look, extra_routes=[Route("/", page)]
    )
    with served(app) as url:
        assert httpx.get(f"{url}/").text == "a page"
        answer = httpx.post(f"{url}/")
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
        assert answer.headers["content-type"] == "application/problem+json"
