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

broker = StubBroker(middleware=[TimeLimit(time_limit=200, interval=50)])
dramatiq.actor(endless, broker=broker).send()
roles.work(SimpleNamespace(broker=broker, close=broker.close), queues=[], threads=1, grace=5)
print("stopped")
"""


def test_time_limits_hold_in_a_worker() -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout.split() == ["TimeLimitExceeded", "stopped"]
