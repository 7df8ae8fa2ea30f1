"""Signatures as in Standard Webhooks."""

from __future__ import annotations

import base64

import pytest

from chatbot.channels.standard_webhooks import TOLERANCE_S, read_secrets, sign, verify
from chatbot.errors import SignatureInvalid

OLD, NEW = (b"o" * 24, b"n" * 64)
NOW = 1_700_000_000
BODY = b'{"text": "hi"}'


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def signed(*keys: bytes, **changed: str) -> dict[str, str]:
    headers = sign(keys or (NEW,), "msg_1", BODY, now=NOW)
    return headers | {f"webhook-{name}": value for name, value in changed.items()}


def refused(headers: dict[str, str], *, body: bytes = BODY, now: float = NOW) -> bool:
    try:
        verify((NEW,), headers, body, now=now)
    except SignatureInvalid:
        return True
    return False


def test_the_specification_s_own_example_verifies() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verify(read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), headers, b'{"test": 2432232314}', now=1614265330)


def test_what_is_signed_is_verified() -> None:
    assert not refused(signed())


def test_svix_names_are_as_good() -> None:
    assert not refused({name.replace("webhook", "svix"): value for name, value in signed().items()})


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_and_named(missing: str) -> None:
    headers = {name: value for name, value in signed().items() if name != missing}
    with pytest.raises(SignatureInvalid, match=missing):
        verify((NEW,), headers, BODY, now=NOW)


def test_a_changed_body_id_or_time_is_refused() -> None:
    assert refused(signed(), body=BODY + b" ")
    assert refused(signed(id="msg_2"))
    assert refused(signed(timestamp=str(NOW + 1)))


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1e9", "1_700_000_000", "\u0661\u0667", "9" * 400, " "])
def test_a_garbage_time_is_refused(timestamp: str) -> None:
    assert refused(signed(timestamp=timestamp))


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a b", "é", "a\n", "x" * 257])
def test_a_garbage_id_is_refused_and_not_signed(webhook_id: str) -> None:
    assert refused(signed(id=webhook_id))
    with pytest.raises(ValueError):
        sign((NEW,), webhook_id, BODY)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v2,abc", "é,é", "v1,é", "v1,\udcff", "v1a,x v1,y", " , "])
def test_a_garbage_signature_is_refused(signature: str) -> None:
    assert refused(signed(signature=signature))


@pytest.mark.parametrize("way", [-1, 1])
def test_the_clock_may_differ_by_five_minutes_either_way(way: int) -> None:
    assert not refused(signed(), now=NOW + way * TOLERANCE_S)
    assert refused(signed(), now=NOW + way * (TOLERANCE_S + 1))


def test_any_of_several_signatures_is_enough() -> None:
    right = signed()["webhook-signature"]
    assert not refused(signed(signature=f"v1,AAAA v1a,{right[3:]} {right}"))
    assert refused(signed(signature=f"v1a,{right[3:]}"))


def test_while_a_secret_is_rotated_both_sides_may_be_first() -> None:
    verify((OLD, NEW), signed(OLD), BODY, now=NOW)
    verify((OLD, NEW), signed(NEW), BODY, now=NOW)
    verify((OLD,), signed(OLD, NEW), BODY, now=NOW)
    verify((NEW,), signed(OLD, NEW), BODY, now=NOW)


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_several_secrets_are_parted_by_spaces_or_commas(between: str) -> None:
    assert read_secrets(between.join([secret(OLD), secret(NEW)])) == (OLD, NEW)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (secret(OLD).removeprefix("whsec_"), "does not begin with whsec_"),
        ("whsec_***hunter2***", "not base64"),
        (secret(b"x" * 23), "23 bytes"),
        (secret(b"x" * 65), "65 bytes"),
        (secret(OLD) + " whsec_", "secret 2"),
    ],
)
def test_a_bad_secret_is_refused_without_showing_it(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        read_secrets(text)
    assert "hunter2" not in str(caught.value)
