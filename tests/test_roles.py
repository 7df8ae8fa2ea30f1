"""A role is a process: what Dramatiq's own command does for one, ours does too."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, time
from types import SimpleNamespace
import dramatiq
from dramatiq.middleware import TimeLimit
from chatbot import roles
from chatbot.brokers.stub import StubBroker

def endless():
    try:
        while True:
            time.sleep(0.01)
    except BaseException as exc:
        print(type(exc).__name__, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

broker = StubBroker(middleware=[TimeLimit(time_limit=1_000, interval=50)])
dramatiq.actor(endless, broker=broker).send()
roles.work(SimpleNamespace(broker=broker, close=broker.close), queues=[], threads=1, grace=5)
print("stopped")
"""


def test_time_limits_hold_in_a_worker() -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout.split() == ["TimeLimitExceeded", "stopped"]


ASIDE = """
import signal, threading, time
from types import SimpleNamespace
from chatbot import roles
from chatbot.brokers.stub import StubBroker
from tests.waiting import wait_until

def told():
    # The main thread waits by then, and is not interrupted: as by a signal that comes just before it waits.
    wait_until(lambda: any(thread.name == "waits" for thread in threading.enumerate()))
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

roles.logger.info = lambda *_: threading.Thread(target=time.sleep, args=(9,), name="waits", daemon=True).start()
threading.Thread(target=told, daemon=True).start()
broker = StubBroker(middleware=[])
roles.work(SimpleNamespace(broker=broker, close=broker.close), queues=[], threads=1, grace=5)
print("stopped")
"""


def test_a_stop_that_interrupts_no_wait_is_heard() -> None:
    shown = subprocess.run([sys.executable, "-c", ASIDE], capture_output=True, text=True, timeout=20, check=True)
    assert shown.stdout.split() == ["stopped"]
