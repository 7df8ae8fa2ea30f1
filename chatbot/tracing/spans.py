"""The spans of the service: a webhook, a run of an actor, a responder's answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq.middleware import Middleware
from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatbot import traceparent
from chatbot.decoding import decoder
from chatbot.middleware.observer import Ending, Observer
from chatbot.middleware.turns import turn_id
from chatbot.model import Draft, TurnRequest
from chatbot.responders.base import Responder
from chatbot.stores.values import BeginVerdict, Entry, FollowUp

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

_RUN = frozenset({"new", "mine", "taken"})
#: s. A collector that does not answer must not keep a process that is to end.
_TIMEOUT = 2.0
_FORMAT = TraceContextTextMapPropagator()


class _Item(Struct):
    traceparent: str = ""


class _Thread(threading.local):
    """What this thread runs: its span, and what has to be undone after it."""

    span: Span | None = None
    undo: ExitStack | None = None


class Tracing(Middleware, Observer):
    """Hears the guards as an observer, and workers as a middleware; web and responder ask for spans."""

    def __init__(self, endpoint: str) -> None:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT)
        resource = Resource.create({"service.name": "chatbot"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(exporter)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("chatbot")
        self._thread = _Thread()

    @contextmanager
    def span(self, name: str, kind: SpanKind, context: Context | None = None, **options: Any) -> Iterator[Span]:
        """Open a span for what happens in this block; an error is told by its type, for its text may be personal."""
        opened = self._tracer.start_as_current_span(
            name, context, kind, record_exception=False, set_status_on_exception=False, **options
        )
        with opened as span:
            token = traceparent.current.set(written())
            try:
                yield span
            except BaseException as exc:
                failed(span, exc)
                raise
            finally:
                traceparent.current.reset(token)

    def responder(self, responder: Responder) -> Responder:
        """Return a responder whose every answer is a span."""
        return _Traced(self, responder)

    def close(self) -> None:
        """Send what is left, for seconds at most."""
        self._provider.shutdown()

    # --- the guards ---
    def began(
        self, key: str, epoch: int, message_id: str, verdict: BeginVerdict, owner: str, entries: Sequence[Entry]
    ) -> None:
        if verdict not in _RUN:
            return
        self._end()
        first, *others = _contexts(entries) or [Context()]
        actor = key.partition("/")[0]
        about = {"chatbot.turn_id": turn_id(key, entries), "chatbot.items": len(entries), "chatbot.begin": verdict}
        self._thread.undo = ExitStack()
        self._thread.span = self._thread.undo.enter_context(
            self.span(actor, SpanKind.CONSUMER, first, attributes=about, links=[_link(other) for other in others])
        )

    def settled(
        self,
        key: str,
        epoch: int,
        outcome: Ending,
        entries: Sequence[Entry],
        follow_ups: Sequence[FollowUp],
        error: BaseException | None,
    ) -> None:
        if (span := self._thread.span) is None:
            return
        span.set_attribute("chatbot.outcome", outcome)
        if error is not None:
            failed(span, error)

    # --- the workers ---
    def after_process_message(
        self, broker: Any, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        self._end()

    def after_skip_message(self, broker: Any, message: MessageProxy) -> None:
        self._end()

    def _end(self) -> None:
        undo, self._thread.undo, self._thread.span = self._thread.undo, None, None
        if undo is not None:
            undo.close()


class _Traced:
    def __init__(self, tracing: Tracing, responder: Responder) -> None:
        self._tracing, self._responder = tracing, responder

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Ask, and return or raise what the responder does."""
        about = {"chatbot.messages": len(request.messages), "chatbot.attempt": request.attempt}
        with self._tracing.span("respond", SpanKind.CLIENT, attributes=about):
            return self._responder.respond(request)

    def close(self) -> None:
        """Let the responder give back connections."""
        self._responder.close()


def read(carrier: dict[str, str]) -> Context:
    """Return the context that headers, or an item, carry; an empty one if they carry none."""
    return _FORMAT.extract(carrier, Context())


def written() -> str:
    """Return the `traceparent` of the current span."""
    carrier: dict[str, str] = {}
    _FORMAT.inject(carrier)
    return carrier.get("traceparent", "")


def failed(span: Span, error: BaseException) -> None:
    """Note an error on a span."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", type(error).__name__)


def _contexts(entries: Sequence[Entry]) -> list[Context]:
    """Return the contexts that a turn's members carry, each once, in order."""
    carried = dict.fromkeys(found for entry in entries if (found := _carried(entry)))
    return [read({"traceparent": value}) for value in carried]


def _carried(entry: Entry) -> str:
    try:
        return str(decoder(_Item).decode(entry.body).traceparent)
    except (msgspec.MsgspecError, RecursionError):
        return ""  # an item of another actor: anything that is JSON


def _link(context: Context) -> Link:
    return Link(get_current_span(context).get_span_context())
