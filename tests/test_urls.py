"""URLs that name several servers, an IPv6 address among them: Python's own function reads some of them no more."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from chatbot.urls import asks_for_cluster, hosts, split, without_cluster


@pytest.mark.parametrize(
    "url",
    [
        "redis://host", "redis://me:p%40ss@host:1/2?ssl=true", "unix:///run/redis.sock?db=1", "redis+cluster://a:1,b:2",
        "redis://[::1]:6379/0", "redis://host?cluster=yes", "redis://host#part", "amqp://host/%2F", "host:1", "",
        "redis://host/?next=redis://other/",
    ],
)  # fmt: skip
def test_a_url_of_one_host_is_split_as_python_splits_it(url: str) -> None:
    assert split(url) == urlsplit(url)
    assert split(url).geturl() == urlsplit(url).geturl()


@pytest.mark.parametrize("listed", ["one:1,[::1]:3", "[::1]:3,one:1", "[::1],[fe80::2]:4,one"])
def test_a_list_of_hosts_may_hold_ipv6_addresses_anywhere(listed: str) -> None:
    parts = split(f"redis+sentinel://me:p%40ss@{listed}/main/5?ssl=true#x")
    assert parts == ("redis+sentinel", f"me:p%40ss@{listed}", "/main/5", "ssl=true", "x")


@pytest.mark.parametrize(
    ("netloc", "user", "found"),
    [
        ("one:1,two", "", [("one", 1), ("two", 9)]),
        ("me:p@one,[::1]:3", "me:p@", [("one", 9), ("::1", 3)]),
        ("[::1],[fe80::2]:4,", "", [("::1", 9), ("fe80::2", 4)]),
        ("a@b@one", "a@b@", [("one", 9)]),
        ("", "", []),
    ],
)
def test_hosts_have_the_default_port_unless_they_say_another(
    netloc: str, user: str, found: list[tuple[str, int]]
) -> None:
    assert hosts(netloc, 9) == (user, found)


@pytest.mark.parametrize(
    "netloc", ["one:port", "one:", "one:1:", "::1", "[::1", "::1]:3", "[::1]]", ":3", "[]", "a[b]"]
)
def test_what_is_no_host_or_no_port_is_an_error(netloc: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|a host is"):
        hosts(netloc, 9)


def test_a_url_that_was_folded_over_lines_is_read() -> None:
    assert split("redis+cluster://one:1,\r\n\ttwo\n") == ("redis+cluster", "one:1,two", "", "", "")


def test_the_wish_for_a_cluster_is_read_and_taken_away() -> None:
    url = "redis://one,[::1]:3/?socket_timeout=9&cluster=Yes"
    assert asks_for_cluster(url)
    assert without_cluster(url) == "redis://one,[::1]:3/?socket_timeout=9"
    assert not asks_for_cluster("redis://one/?cluster=no")
