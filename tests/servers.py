"""Real servers for tests: the ones that `chatbot bench` starts too, see chatbot/bench/servers.py."""

from __future__ import annotations

from chatbot.bench.rabbitmq_server import RabbitmqServer, find_rabbitmq
from chatbot.bench.servers import MissingServerError, PrivateServer, RedisServer, find_redis, find_valkey, free_port
from chatbot.bench.servers import listens as _listens

__all__ = [
    "MissingServerError", "PrivateServer", "RabbitmqServer", "RedisServer",
    "_listens", "find_rabbitmq", "find_redis", "find_valkey", "free_port",
]  # fmt: skip
