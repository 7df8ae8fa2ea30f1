"""A type that threads meet at the same time for the first time is decoded, not the end of the process."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import msgspec
import pytest

from chatbot.decoding import decoder

#: Threads meet new types, and change places as often as they can: msgspec alone does not survive a hundred of them.
TOGETHER = """
import sys, threading, msgspec
from chatbot.decoding import decoder

def meet(kind):
    together.wait()
    assert decoder(kind).decode(b'{"f24": {"a19": 1}, "f3": null}').f24.a19 == 1

sys.setswitchinterval(1e-6)
for n in range(500):
    inner = msgspec.defstruct(f"Inner{n}", [(f"a{i}", int | None, None) for i in range(20)])
    kind = msgspec.defstruct(f"Outer{n}", [(f"f{i}", inner | None, None) for i in range(25)])
    together = threading.Barrier(8)
    threads = [threading.Thread(target=meet, args=(kind,)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_threads_that_meet_a_type_together_decode_it() -> None:
    result = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_type_is_made_known_once() -> None:
    assert decoder(list[int]) is decoder(list[int])


def test_an_annotation_that_cannot_be_looked_up_is_no_obstacle() -> None:
    kind = list[Annotated[int, msgspec.Meta(extra_json_schema={"examples": [1]})]]
    assert decoder(kind).decode(b"[1]") == [1]


def test_what_has_no_decoder_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        decoder(list["nowhere"])  # type: ignore[type-arg]  # noqa: F821
