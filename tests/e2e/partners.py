"""The others: the ones that `chatbot bench chaos` talks to as well, see chatbot/bench/partners.py."""

from __future__ import annotations

from chatbot.bench.partners import SECRET, Partners, Seen

__all__ = ["SECRET", "Partners", "Seen"]
