"""A flower shop on this machine: a `chatbot dev` with its bot, and people who write to it. What pictures show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

import chatbot
from chatbot.bench.servers import free_port
from chatbot.bench.waiting import wait_until
from chatbot.channels.standard_webhooks import read_secrets, sign
from chatbot.processes.tether import tethered

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mbG93ZXItc2hvcA=="

SETTINGS = {
    "CHATBOT_GENERIC_SECRET": SECRET, "CHATBOT_RESPONDER": "shop:reply", "CHATBOT_TURN_ATTEMPTS": "2",
    "CHATBOT_DEBOUNCE_WAIT_MS": "3000",
}  # fmt: skip

#: What is in the temporary directory, and answers: some calls take long, some fail.
SHOP = """
import time

from chatbot.errors import Permanent


def reply(turn):
    said = " ".join(message.text for message in turn.messages).lower()
    time.sleep(0.6 + len(said) % 7 / 3)
    if "voucher" in said:
        return redeem(said)
    if "invoice" in said:
        raise TimeoutError("the accounts did not answer within 2 s")
    if "deliver" in said or "today" in said:
        return "Yes, until 6 pm if you order before noon."
    if "order" in said:
        return "It is on its way, and will be with you this afternoon."
    return "With pleasure! Twelve roses are 24 euros. Shall I add a card?"


def redeem(said):
    raise Permanent(f"there is no voucher {said.rpartition(' ')[2]}")
"""

#: Who writes what, again and again; and what is said once, and becomes a dead letter.
BURSTS = {
    "ana": ["Hi!", "do you have roses?", "red ones", "a dozen"],
    "bruno": ["hello", "can you deliver today?", "to the old town"],
    "chloe": ["Good morning", "where is my order?"],
    "dmitri": ["Hey", "two bouquets please", "one with tulips", "thanks!"],
    "emeka": ["is my order 4711 on its way?"],
    "fatima": ["Hi there", "how much are lilies?", "white, if you have them"],
}
DEAD = {"gustav": "I have a voucher, 20-XMAS", "hanna": "Please send me the invoice", "ines": "my voucher is SPRING-5"}
#: s between the messages of a burst, and between two bursts of one person.
TYPING, RESTING = 0.8, 4.5


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run `chatbot dev` with its state in this folder; give its address."""
    (folder / "shop.py").write_text(SHOP)
    # Tracebacks then name this folder, and not the one of whoever takes the pictures.
    (folder / "chatbot").symlink_to(Path(chatbot.__file__).parent)
    url = f"http://127.0.0.1:{(port := free_port())}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    argv = tethered([sys.executable, "-m", "chatbot", "dev", "--port", str(port), "--state", str(folder / "state")])
    with (folder / "log").open("wb") as log:
        dev = subprocess.Popen(argv, cwd=folder, env=plain | SETTINGS, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(url) or dev.poll() is not None, 60, "chatbot dev does not start")
            if dev.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            yield url
        finally:
            dev.terminate()
            dev.wait()


def answers(url: str) -> bool:
    """Say whether the service is ready."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/ready").status_code == 200
    return False


@contextmanager
def chatting(url: str) -> Iterator[None]:
    """Let everybody write until the end."""
    is_over = threading.Event()
    people = [threading.Thread(target=write, args=(url, *who, is_over)) for who in enumerate(BURSTS)]
    for one in people:
        one.start()
    try:
        for who, text in DEAD.items():
            post(url, who, 1, text)
        yield
    finally:
        is_over.set()
        for one in people:
            one.join()


def write(url: str, late: float, who: str, is_over: threading.Event) -> None:
    """Write burst after burst, the first one `late` s later than others."""
    number = 0
    while not is_over.wait(RESTING if number else late):
        for place, text in enumerate(BURSTS[who], start=1):
            number += 1
            # As from a provider that missed an answer.
            comes_again = place == len(BURSTS[who]) and place % 2 == 0
            for _ in range(2 if comes_again else 1):
                post(url, who, number, text)
            is_over.wait(TYPING)


def post(url: str, who: str, number: int, text: str) -> None:
    """Deliver a message as a provider does."""
    said = {"message_id": f"{who}-{number}", "conversation_id": who, "sender_id": who, "text": text}
    body = json.dumps(said).encode()
    headers = sign(read_secrets(SECRET), os.urandom(8).hex(), body) | {"content-type": "application/json"}
    httpx.post(f"{url}/webhooks/generic", content=body, headers=headers).raise_for_status()
