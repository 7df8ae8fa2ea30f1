"""Pages from templates. Those of other rooms extend `base.html`, and so share its navigation and its style."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from chatbot.admin.language import Language, choices, language_of, mark
from chatbot.admin.sessions import csrf_token

#: Where the navigation leads: its links are active on every page below them.
NAVIGATION: Final = (
    ("/", mark("Operations")),
    ("/conversations", mark("Conversations")),
    ("/dead-letters", mark("Dead letters")),
    ("/dashboard/", mark("Queues")),
    ("/playground", mark("Playground")),
)


@cache
def environment(*packages: str) -> jinja2.Environment:
    """Return templates of these packages, and of this one."""
    loaders = [jinja2.PackageLoader(package) for package in (*packages, "chatbot.admin")]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, auto_reload=False, undefined=jinja2.StrictUndefined
    )
    translate(made)
    return made


def translate(templates: jinja2.Environment) -> None:
    """Let templates say their texts in the `language` that they are given."""
    templates.add_extension("jinja2.ext.i18n")
    templates.install_gettext_callables(_text, _plural, newstyle=True)  # type: ignore[attr-defined]


@jinja2.pass_context
def _text(context: jinja2.runtime.Context, english: str) -> str:
    return language_in(context).texts.get(english, english)


def _plural(singular: str, plural: str, number: int) -> str:
    raise NotImplementedError("numbers of things are the filter `count`")


def language_in(context: jinja2.runtime.Context) -> Language:
    """Return the language of what is rendered."""
    found = context["language"]
    assert isinstance(found, Language)
    return found


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
        "language": language_of(request),
        "languages": choices(request),
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
