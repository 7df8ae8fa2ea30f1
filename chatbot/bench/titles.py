"""Titles of the figures that other pages tell: whoever measures one, and whoever looks it up."""

from __future__ import annotations

CALLS = "calls of one worker process"
COST = "processor time for a webhook, answered to the end"
WEB_MEMORY = "memory of the web process"
WORKER_MEMORY = "memory of the worker process"
REMEMBERED_ID = "memory of a remembered id"
OPEN_WINDOW = "memory of an open window of 5 messages"
BARE_WINDOW = "memory of an open window of 5 items of 60 bytes"
SETTLED_TURN = "memory of a settled turn"
HISTORY = "memory of a conversation's history of 20 turns"
SLOW_ANSWER = "memory of each of {:,} slow answers"
ACCEPTED = "accepted webhooks"
PICK_UP = "from send to start, idle, p{}"
OVERSHOOT = "from the end of the quiet time to the start, p{}"
RESUMED = "from kill -9 of a worker to the start of its last call in another"
HANDED_OVER = "from the last due time until all are done"
