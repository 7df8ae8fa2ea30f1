"""SIGTERM and SIGINT are heard whenever they come."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Raises the signal before line number N of what the main thread does from here, in any module.
PROGRAM = """
import os, signal, sys
from chatbot.processes.stopping import StopSignals

left = int(sys.argv[1])

def trace(frame, event, arg):
    global left
    if frame.f_code.co_name == "late":
        return None
    if event == "line":
        left -= 1
        if left == 0:
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGTERM)
    return trace

def late(*_):
    global left
    if left > 0:  # it waits, in a line before that one
        left = 0
        os.kill(os.getpid(), signal.SIGTERM)

told = StopSignals(again=lambda: print("again"))
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.5)
sys.settrace(trace)
told.wait()
sys.settrace(None)
print("heard")
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize("line", range(1, 8))
def test_a_signal_is_heard_wherever_it_comes(line: int) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(line)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == (["heard", "again"], "")
