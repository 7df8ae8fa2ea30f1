"""What tests ask of a RabbitMQ apart from messages: its statistics, its users, and its moods."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers import RabbitmqServer, find_rabbitmq

#: An option for who looks at statistics: ms.
INSPECTED = "collect_statistics_interval = 500"


def control(server: RabbitmqServer, *command: str) -> str:
    """Run a command of rabbitmqctl, and return what it says."""
    program = Path(find_rabbitmq()).with_name("rabbitmqctl")
    argv = [str(program), "--node", server._node, *command]
    done = subprocess.run(argv, env=server._environment(), check=True, capture_output=True, timeout=60, text=True)
    return done.stdout


def manage(server: RabbitmqServer, path: str, method: str = "GET", **body: Any) -> Any:
    """Ask the management API."""
    url = urllib.parse.urlsplit(server.management_url)
    token = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{url.hostname}:{url.port}/api/{path}",
        method=method,
        data=json.dumps(body).encode() if body or method == "PUT" else None,
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = answer.read()
    return json.loads(found) if found else None
