"""Reading URLs of stores and brokers: one may name several hosts, and none is ever shown, for its password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from chatbot.errors import ConfigurationError

#: What a parameter says that is to be on.
YES = ("true", "1", "yes")
#: Line ends and tabs, which Python's own function does not see either.
_NOTHING = dict.fromkeys(map(ord, "\t\r\n"))
_NETLOC = re.compile(r"(?<=://)[^/?#]*")


@contextmanager
def reading(variable: str) -> Iterator[None]:
    """Turn a parser's error into a ConfigurationError. The parser's own text may quote a part of the password."""
    try:
        yield
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"{variable} cannot be read: check its port and its options, "
            "and percent-encode what is special in its password (/ is %2F, @ is %40, # is %23, : is %3A)"
        ) from None


def split(url: str) -> SplitResult:
    """Return the parts of a URL. Python's own function (since 3.12.9) refuses `[::1]` behind another host."""
    url = url.translate(_NOTHING)
    netloc = found[0] if (found := _NETLOC.search(url)) else ""
    return urlsplit(_NETLOC.sub("", url, count=1))._replace(netloc=netloc)


def hosts(netloc: str, port: int) -> tuple[str, list[tuple[str, int]]]:
    """Return what stands before the hosts (`user:password@`), and the hosts with their ports, by default `port`."""
    user, at, listed = netloc.rpartition("@")
    return user + at, [_host(host, port) for host in listed.split(",") if host]


def _host(text: str, default: int) -> tuple[str, int]:
    # An IPv6 address is full of colons; its port follows the bracket.
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or set(bare) & set("[]") or (":" in bare and bare is host):
        raise ValueError("a host is a name or an address, an IPv6 address in brackets")
    return bare, int(port)


def asks_for_cluster(url: str) -> bool:
    """Say whether a URL has `?cluster=true`: redis-py knows no such option."""
    return dict(parse_qsl(split(url).query)).get("cluster", "").lower() in YES


def without_cluster(url: str) -> str:
    """Return a URL without that."""
    parts = split(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "cluster"])
    return parts._replace(query=query).geturl()
