"""Who may see and operate the service: logins, sessions, CSRF tokens, headers, and the base of all pages."""

from __future__ import annotations

from chatbot.admin.access import Admin
from chatbot.admin.credentials import check
from chatbot.admin.pages import environment, message, page
from chatbot.admin.personal import looked, masked
from chatbot.admin.sessions import csrf_token

__all__ = ["Admin", "check", "csrf_token", "environment", "looked", "masked", "message", "page"]
