"""Pages from templates. Those of other rooms extend `base.html`, and so share its navigation and its style."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from chatbot.admin.sessions import csrf_token

#: Where the navigation leads: its links are active on every page below them.
NAVIGATION: Final = (
    ("/", "Operations"),
    ("/conversations", "Conversations"),
    ("/dead-letters", "Dead letters"),
    ("/dashboard/", "Queues"),
    ("/playground", "Playground"),
)


@cache
def environment(*packages: str) -> jinja2.Environment:
    """Return templates of these packages, and of this one."""
    loaders = [jinja2.PackageLoader(package) for package in (*packages, "chatbot.admin")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, auto_reload=False, undefined=jinja2.StrictUndefined
    )


def page(
    request: Request,
    template: str,
    *packages: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **what: Any,
) -> HTMLResponse:
    """Return a page of one of these packages, or of this one. Its template knows what `common` returns, and `what`."""
    html = environment(*packages).get_template(template).render(common(request) | what)
    return HTMLResponse(html, status, headers)


def common(request: Request) -> dict[str, Any]:
    """Return what `base.html` needs."""
    state = request.state
    return {
        "request": request,
        "path": request.scope["path"],
        "navigation": NAVIGATION,
        "user": getattr(state, "user", None),
        "is_open": getattr(state, "is_open", False),
        "may_log_out": getattr(state, "may_log_out", False),
        "csrf_token": csrf_token(request),
        "shows_personal_data": getattr(state, "shows_personal_data", False),
    }


def message(request: Request, status: int, title: str, text: str, **headers: str) -> HTMLResponse:
    """Return a page that says one thing."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return page(request, "message.html", status=status, headers=sent, title=title, text=text)
