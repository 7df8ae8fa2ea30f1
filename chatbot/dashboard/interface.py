"""The adapter between dramatiq-dashboard and a look: what its pages ask for, in its own records."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dramatiq.common import q_name
from dramatiq.message import Message

from chatbot.admin.personal import masked
from chatbot.admin.tracebacks import kind
from chatbot.dashboard.look import Counts, Gone, Kept, Look, Tab

_TABS: dict[str, Tab] = {".DQ": "delayed", ".XQ": "failed"}
#: Options whose words are ours or Dramatiq's, never a person's.
_HARMLESS = frozenset({"outcome", "worker", "redis_message_id", "eta", "requeue_timestamp"})
#: A number that is longer may be one of a telephone; one with a point, a place.
_LONGEST_NUMBER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """What the page that is being made may show, and what it is told besides."""

    page: dict[str, Any]
    shows_personal_data: bool = False
    remark: str = ""
    unseen: bool = False


#: Of the request, in whose context the page is made.
viewing: ContextVar[Viewing] = ContextVar("viewing")


def split(queue_for_tab: str) -> tuple[str, Tab]:
    """Return the queue and the tab that a name such as `default.XQ` stands for."""
    queue = q_name(queue_for_tab)
    return queue, _TABS.get(queue_for_tab.removeprefix(queue), "standard")


class Interface:
    """What `DashboardApp.iface` is to be. It only reads: our own endpoints act."""

    def __init__(self, look: Look) -> None:
        self._look = look

    @property
    def queues(self) -> list[Any]:
        """Return all queues."""
        return [_queue(counts) for counts in self._look.queues()]

    @property
    def workers(self) -> list[Any]:
        """Return all workers."""
        from dramatiq_dashboard.interface import Worker  # type: ignore[import-untyped]

        return [
            Worker(name=seen.name, last_seen=_time(seen.at), jobs_in_flight=seen.running)
            for seen in self._look.workers()
        ]

    def get_queue(self, name: str) -> Any:
        """Return one queue."""
        for counts in self._look.queues():
            if counts.name == name:
                return _queue(counts)
        raise Gone

    def get_jobs(self, queue_for_tab: str, cursor: int = 0) -> tuple[int | None, list[Any]]:
        """Return where the next page starts, and the messages of this one."""
        following, found = self._look.page(*split(queue_for_tab), cursor)
        return following, [_job(kept) for kept in found]

    def get_job(self, queue_for_tab: str, message_id: str) -> Any:
        """Return one message, or None."""
        kept = self._look.find(*split(queue_for_tab), message_id)
        return kept and _job(kept)


def _queue(counts: Counts) -> Any:
    from dramatiq_dashboard.interface import Queue

    return Queue(name=counts.name, jobs=counts.waiting, jobs_delayed=counts.delayed, jobs_dead=counts.dead)


def _job(kept: Kept) -> Any:
    from dramatiq_dashboard.interface import Job

    message = _shown(kept)
    retries = kept.letter.attempts if kept.letter else message.options.get("retries", 0)
    eta, made = message.options.get("eta"), message.message_timestamp
    return Job(
        message_id=kept.id,
        message=message,
        eta=_time(eta if isinstance(eta, (int, float)) else made),
        timestamp=_time(made),
        retries=retries,
    )


def _shown(kept: Kept) -> Message[Any]:
    """Return a message as it may be shown now."""
    if kept.message is None:
        return _undecodable(kept)
    shows, message = viewing.get().shows_personal_data, kept.message
    options = message.options if shows else {name: _mask_option(name, value) for name, value in message.options.items()}
    return Message(
        queue_name=message.queue_name,
        actor_name=message.actor_name,
        args=message.args if shows else tuple(_mask(arg) for arg in message.args),
        kwargs=message.kwargs if shows else _mask(message.kwargs),
        options=options | _told(kept),
        message_id=message.message_id,
        message_timestamp=message.message_timestamp,
    )


def _told(kept: Kept) -> dict[str, Any]:
    letter = kept.letter
    if letter is None:
        return {}
    shows = viewing.get().shows_personal_data
    error = letter.error if shows else kind(letter.error)
    told = {"error": error, "attempts": letter.attempts, "worker": letter.worker, "failed": _time(letter.last_at)}
    return told | ({"traceback": letter.traceback} if shows else {})


def _undecodable(kept: Kept) -> Message[Any]:
    content = kept.body[:2_000] if viewing.get().shows_personal_data else f"{len(kept.body)} bytes"
    return Message(
        queue_name="", actor_name="undecodable", args=(content,), kwargs={}, options={}, message_id=kept.id,
        message_timestamp=0,
    )  # fmt: skip


def _mask_option(name: str, value: Any) -> Any:
    if name in _HARMLESS:
        return value
    return "•••" if name == "traceback" else _mask(value)


def _mask(value: Any) -> Any:
    """Mask every text and every long number in a value, wherever it is; names of fields stay."""
    if isinstance(value, dict):
        return {name if name.isidentifier() else masked(name): _mask(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mask(one) for one in value]
    if isinstance(value, float) or (isinstance(value, int) and len(str(abs(value))) > _LONGEST_NUMBER):
        return masked(str(value))
    return masked(value) if isinstance(value, str) else value


def _time(milliseconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
