"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the content as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
