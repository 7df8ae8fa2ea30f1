"""What the ledger proves: one turn with all messages of the burst, and each of its replies settled once.

The ledger knows this of itself; neither the journal nor the receiver of the replies is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatbot.middleware.turns import turn_id
from chatbot.operations.conversations import item_of, mailboxes
from chatbot.operations.times import count
from chatbot.operations.verify.answers import BURST, Burst
from chatbot.operations.verify.proofs import Proof, watch
from chatbot.service import Service
from chatbot.stores.operators import Trace
from chatbot.stores.values import Entry, MailboxState

T = TypeVar("T")
#: s between two looks.
PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Formed:
    """How the turn came out: its epochs (one, if all is well) and its id, if the window was seen while it was open."""

    proof: Proof
    traces: tuple[Trace, ...] = ()
    turn: str = ""


class Ledger:
    """Looks at one conversation. `deadline` (monotonic, s) is when it stops to wait."""

    def __init__(self, service: Service, subject: str, message_ids: Sequence[str], deadline: float) -> None:
        self._service, self._store, self._deadline = service, service.store, deadline
        self._inbox, self._outbox = mailboxes(service, subject)
        self._items = [item_of(subject, message_id) for message_id in message_ids]

    def window(self) -> list[Entry]:
        """Return what waits in the window, as long as it is open."""
        return self._store.peek(self._inbox)

    # --- the turn ---
    async def debounce(self, sent: Burst, window: Sequence[Entry]) -> Formed:
        """Wait for the turn, and show that it is one."""
        with watch() as took:
            traces = await self._until(self._traces, lambda found: all(trace.epoch != 0 for trace in found))
        turns = {trace.epoch for trace in traces}
        turn = turn_id(self._inbox, window) if len(window) == BURST and len(turns) == 1 else ""
        held, came, cure = self._judged(sent, window, traces)
        within = f"{BURST} messages within {max(sent.widest, 0.001):.3f} s of each other"
        proof = Proof(name="debounce", held=held, sent=within, came=came, seconds=took.seconds, cure=cure)
        return Formed(proof, tuple(traces), turn)

    def _traces(self) -> list[Trace]:
        return [self._store.trace(self._inbox, item) for item in self._items]

    def _judged(self, sent: Burst, window: Sequence[Entry], traces: Sequence[Trace]) -> tuple[bool | None, str, str]:
        turns = sorted({trace.epoch for trace in traces if trace.epoch is not None})
        wait, most = self._service.settings.debounce_wait_ms, self._service.settings.debounce_max_messages
        if len(turns) == 0 or any(trace.epoch is None for trace in traces):
            return False, "messages that this ledger does not know", _OTHER_LEDGER
        if 0 in turns:
            return False, *self._stuck(self._store.inspect(self._inbox), "turn")
        if any(trace.outcome == "dead" for trace in traces):
            return False, f"a turn that was given up: {self._reason(self._inbox, turns[0])}", _RESPONDER
        if len(turns) > 1:
            rightly = sent.widest * 1000 >= wait or most < BURST
            cure = (_RIGHTLY if rightly else _SPLIT).format(wait=wait, most=most)
            return None if rightly else False, f"{len(turns)} turns", cure
        after = f", formed {turns[0] / 1e6 - window[-1].arrived / 1e3:.2f} s after the last" if window else ""
        return True, f"one turn of {BURST}{after}", ""

    # --- its replies ---
    async def replies(self, formed: Formed, refusable: bool) -> Proof:
        """Wait until what the turn left is sent, and show that each reply left once. `refusable`: nobody has the number
        that they go to, so a refusal is as good."""
        if not formed.proof.held:
            return Proof(name="replies", held=None, sent="the turn", came="not looked at: there is no turn")
        with watch() as took:
            state = await self._until(lambda: self._store.inspect(self._outbox), lambda found: found.state == "idle")
        held, came, cure = True, "", ""
        if state.state != "idle":
            held, came, cure = False, *self._stuck(state, "reply")
        elif graves := self._store.graves(self._outbox):
            held, cure = refusable, _REFUSED
            reason = self._reason(self._outbox, graves[0].epoch)
            came = f"{count(len(graves), 'reply')} settled once and given up: {reason}"
        else:
            came = self._left(formed.turn)
        return Proof(name="replies", held=held, sent="the turn", came=came, seconds=took.seconds, cure=cure)

    def _left(self, turn: str) -> str:
        """Return how many replies the turn left: they are numbered, and each is settled by now."""
        if not turn:
            return "nothing is left to send"
        left = 0
        while self._store.trace(self._outbox, f"{turn}:{left}").epoch is not None:
            left += 1
        return f"{count(left, 'reply')}, sent once" if left else "no reply: the responder said nothing"

    # --- what came after ---
    def again(self, formed: Formed) -> str:
        """Return what a resend of everything set off; empty: nothing."""
        if self._store.inspect(self._inbox).state != "idle":
            return "a new window opened"
        if [trace.epoch for trace in self._traces()] != [trace.epoch for trace in formed.traces]:
            return "another turn ran"
        if self._store.inspect(self._outbox).state != "idle":
            return "another reply is on its way"
        return ""

    # --- waiting ---
    async def _until(self, look: Callable[[], T], enough: Callable[[T], bool]) -> T:
        while not enough(found := look()) and time.monotonic() < self._deadline:
            await asyncio.sleep(PAUSE)
        return found

    def _stuck(self, state: MailboxState, what: str) -> tuple[str, str]:
        """Tell why a turn or a reply is not settled, and the cure."""
        fails = f" after {count(state.fails, 'failed attempt')}" if state.fails else ""
        match state.state:
            case "accumulating":
                late = -(state.due_in or 0)
                if late > 0:
                    return f"a window that nobody closes, {late / 1000:.1f} s overdue", _NO_WORKER
                return "a window that is still open", _PATIENCE
            case "taken" | "handed over":
                return f"a {what} that no worker begins", _NO_WORKER
            case "running":
                return f"a {what} that still runs{fails}", _RESPONDER if what == "turn" else _OUTBOUND
            case other:
                return f"a {what} that is {other}{fails}", _RESPONDER if what == "turn" else _OUTBOUND

    def _reason(self, key: str, epoch: int) -> str:
        grave = self._store.grave(key, epoch)
        return grave.reason.decode(errors="replace").strip().splitlines()[-1] if grave and grave.reason else "unknown"


_OTHER_LEDGER = (
    "give the CHATBOT_STORE_URL and CHATBOT_NAMESPACE of the service at --url, or --http-only to look at answers only"
)
_NO_WORKER = "start `chatbot worker`, on the same CHATBOT_STORE_URL and CHATBOT_BROKER_URL: `chatbot doctor` tells more"
_PATIENCE = "give a longer --timeout than the service's quiet time"
_RESPONDER = "look at the responder, and at the log of `chatbot worker`"
_OUTBOUND = "look at where replies are sent, and at the log of `chatbot worker`"
_REFUSED = "let the receiver take replies to conversations that begin with verify-, and drop them"
_RIGHTLY = (
    "that may be right, with a quiet time of {wait} ms and at most {most} messages in a turn: try again, nearer by, or "
    "with other settings"
)
_SPLIT = (
    "web and workers must have the same CHATBOT_DEBOUNCE_WAIT_MS (here {wait}) and CHATBOT_DEBOUNCE_MAX_MESSAGES (here "
    "{most})"
)
