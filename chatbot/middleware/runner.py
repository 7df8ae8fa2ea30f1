"""Running one delivery of a turn: begin, run, finish.

The steps stand inside one call, so whatever kills the worker between two of them leaves a lease that lapses. The
decision what a failure means is made here; the step itself is the store's.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq.middleware import Shutdown

from chatbot.decoding import decoder
from chatbot.errors import Permanent, StoreUnavailable
from chatbot.middleware.items import item_type
from chatbot.middleware.leases import Heartbeat, Held
from chatbot.middleware.observer import Ending, Observer
from chatbot.middleware.patience import Patience, skip
from chatbot.middleware.policies import Debounced, ms
from chatbot.middleware.retries import HOPELESS, asked_delay
from chatbot.middleware.steps import decoded, encoded, scope
from chatbot.middleware.turns import Turn, running, turn_id
from chatbot.stores.base import Store
from chatbot.stores.values import Begun, ClaimCheck, FinishVerdict, FollowUp, Lease, Outcome

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

logger = logging.getLogger(__name__)

_ENDINGS: dict[Outcome, Ending] = {"ok": "settled", "dead": "buried", "retry": "kept", "split": "split"}

MakeFollowUp = Callable[["Broker", "Message[Any]", str, str], FollowUp]

#: ms. A dead worker's turn is free after this long; renewed five times as often.
LEASE = 5_000
#: ms after its owner's last renewal at which a turn whose message the broker redelivered is free.
GRACE = 2_500
#: A turn whose workers were lost so often is bisected or buried: it may be what kills them.
LOSSES = 5
#: ms. How long a turn's result is kept for late copies; `Idempotent.result_ttl` of the actor changes it.
RESULT_TTL = 3_600_000


class TurnRunner:
    """Runs turns for the debounced actors of one process."""

    def __init__(
        self,
        store: Store,
        heartbeat: Heartbeat,
        patience: Patience,
        observer: Observer,
        make_follow_up: MakeFollowUp,
    ) -> None:
        self.store, self.patience, self.observer, self.make_follow_up = store, patience, observer, make_follow_up
        self._heartbeat = heartbeat

    def run(
        self, broker: Broker, actor: Actor[..., Any], policy: Debounced, fn: Callable[..., Any], message: MessageProxy
    ) -> Any:
        """Run the turn that a message is the claim check of, or drop the message if this copy must not run."""
        # A copy made by another middleware may carry what the delivery before it was told.
        message.options.pop("store_results", None)
        check = ClaimCheck(*message.options["turn"])
        owner = f"{message.message_id}/{uuid.uuid4().hex}"
        since, begun = self._begin(check, owner, message)
        if begun is None or begun.verdict in ("busy", "stale", "buried"):
            skip(message, f"another copy of turn {check} has run, runs or will run: {begun and begun.verdict}")
        if begun.verdict == "done":
            return decoded(begun.value)
        with self._heartbeat.holding(Lease("turn", check.key, owner), LEASE, since, GRACE) as held:
            return _Run(self, broker, actor, policy, check, owner, begun, message, held).attempt(fn)

    def _begin(self, check: ClaimCheck, owner: str, message: MessageProxy) -> tuple[float, Begun | None]:
        grace = GRACE if getattr(message, "redelivered", False) else 0

        def begin() -> tuple[float, Begun]:
            try:
                return time.monotonic(), self.store.begin(check, owner, LEASE, grace)
            except StoreUnavailable:
                self.observer.store_error(message.actor_name, "waited")
                raise

        try:
            since, begun = self.patience.until_answered(begin)
        except StoreUnavailable:
            return 0.0, None  # the worker stops; the ledger publishes the turn again
        self.observer.began(check.key, check.epoch, message.message_id, begun.verdict, owner, begun.entries)
        return since, begun


class _Run:
    """One attempt at a turn, from `begin` to `finish`."""

    def __init__(
        self,
        runner: TurnRunner,
        broker: Broker,
        actor: Actor[..., Any],
        policy: Debounced,
        check: ClaimCheck,
        owner: str,
        begun: Begun,
        message: MessageProxy,
        held: Held,
    ) -> None:
        self.runner, self.broker, self.actor, self.policy = runner, broker, actor, policy
        self.check, self.owner, self.begun, self.message, self.held = check, owner, begun, message, held

    def attempt(self, fn: Callable[..., Any]) -> Any:
        if self.begun.lost >= LOSSES:
            error = Permanent(f"{self.begun.lost} workers were lost while they ran this turn")
            self._fail(error)
            raise error
        try:
            result, value, follow_ups = self._call(fn)
        except BaseException as exc:
            self._fail(exc)
            raise
        if self._finish("ok", value=value, follow_ups=follow_ups) != "settled":
            logger.warning("turn %s was taken over: what this run did is discarded", self.check)
            skip(self.message, "this run was overtaken")
        return result

    def _call(self, fn: Callable[..., Any]) -> tuple[Any, bytes, list[FollowUp]]:
        entries = self.begun.entries
        turn = Turn(
            id=turn_id(self.check.key, entries),
            key=self.check.key,
            epoch=self.check.epoch,
            attempt=self.begun.fails + self.begun.lost + 1,
            lost=self.begun.lost,
            items=_decode(entries, item_type(self.actor)),
            held=self.held,
        )
        with running(turn), scope(turn.id, self.held):
            result = fn(list(turn.items))
        follow_ups = [
            self.runner.make_follow_up(self.broker, message, self.check.key, f"{turn.id}:{position}")
            for position, message in enumerate(turn.follow_ups)
        ]
        return result, encoded(result), follow_ups

    def _fail(self, error: BaseException) -> None:
        outcome, delay = self._judge(error)
        reason = self._reason(error) if outcome == "dead" else b""
        verdict = self._finish(outcome, value=reason, delay=delay, error=error)
        if outcome == "dead" and verdict == "settled":
            logger.error("turn %s is a dead letter: %r", self.check, error)

    def _judge(self, error: BaseException) -> tuple[Outcome, int]:
        """Say what a failure means: `retry` keeps the members, `split` isolates the bad one, `dead` buries it."""
        # Nobody's failure: a turn must not be buried because its worker stops.
        if isinstance(error, Shutdown):
            return "retry", 0
        more = self.begun.fails + 1 < self.policy.attempts
        if more and not isinstance(error, HOPELESS):
            return "retry", _delay(self.policy, self.begun.fails, error)
        return ("split", 0) if len(self.begun.entries) > 1 else ("dead", 0)

    def _reason(self, error: BaseException) -> bytes:
        return msgspec.json.encode(
            {
                "error": type(error).__name__,
                "message": _readable(lambda: str(error)),
                "traceback": _readable(lambda: "".join(traceback.format_exception(error, limit=-20))),
                "fails": self.begun.fails + 1,
                "lost": self.begun.lost,
                "worker": f"{socket.gethostname()}:{os.getpid()}",
            }
        )

    def _finish(
        self,
        outcome: Outcome,
        *,
        value: bytes = b"",
        delay: int = 0,
        follow_ups: Sequence[FollowUp] = (),
        error: BaseException | None = None,
    ) -> FinishVerdict:
        def finish() -> FinishVerdict:
            return self.runner.store.finish(
                self.check,
                self.owner,
                outcome,
                value=value,
                delay=delay,
                follow_ups=follow_ups,
                result_ttl=self._result_ttl,
            )

        self.held.settling = True
        try:
            # Repeated for as long as the worker lives: the store refuses it once somebody else holds the turn.
            verdict = self.runner.patience.until_answered(finish)
        except StoreUnavailable:
            verdict = "refused"
        # Only a settled run may store a result.
        if verdict != "settled":
            self.message.options["store_results"] = False
        ending = "refused" if verdict == "refused" else _ENDINGS[outcome]
        self.runner.observer.settled(self.check.key, self.check.epoch, ending, self.begun.entries, follow_ups, error)
        return verdict

    @property
    def _result_ttl(self) -> int:
        policy = self.actor.options.get("idempotent")
        return RESULT_TTL if policy is None else ms(policy.result_ttl)


def _decode(entries: Sequence[Any], kind: Any) -> list[Any]:
    try:
        return [decoder(kind).decode(entry.body) for entry in entries]
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Permanent(f"an item is not a {kind}: {exc}") from exc


def _delay(policy: Debounced, fails: int, error: BaseException) -> int:
    """Return the back-off in ms: what the error asks for, else doubling, with jitter so that failures spread."""
    asked = asked_delay(error)
    if asked is not None:
        return asked
    # The exponent is bounded, as a float is.
    delay = min(ms(policy.backoff) * 2.0 ** min(fails, 64), ms(policy.max_backoff))
    return round(delay * random.uniform(0.5, 1))


def _readable(say: Callable[[], str]) -> str:
    """Return a text about an error, whatever the error is made of: a burial must not fail."""
    try:
        return say().encode(errors="replace").decode()
    except Exception as exc:
        return f"({type(exc).__name__} when asked for it)"
