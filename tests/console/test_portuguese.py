"""Who prefers Portuguese gets it on every page, in what is live and in what is sent back; everybody else English."""

from __future__ import annotations

import re
from html import unescape

import pytest

from chatbot.admin.language import named
from tests.admin.browser import Browser
from tests.console.conftest import at_console, find, link, text
from tests.operations.house import House
from tests.waiting import wait_until

PORTUGUESE = {"accept_language": "pt-BR,pt;q=0.9,en;q=0.8"}
#: English texts that nobody could take for something else on a page in Portuguese.
ENGLISH = {text(key) for key, said in named("pt-BR").texts.items() if "%" not in key and key != said and len(key) > 8}


@pytest.fixture
def paths(house: House, operator: Browser) -> list[str]:
    """All pages, with something on them."""
    house.run("bad1", "m1")
    house.run("+491705551234", "m2", "m3", "m2")
    house.admit("+491705551234", "m4")
    house.service.journal.flush()
    conversation = find(operator, "generic:+491705551234")
    letter = link(operator.get("/dead-letters").text, "Permanent")
    names = ["/", "/conversations", "/dead-letters", "/dead-letters?search=none", "/dead-letters/none", "/playground"]
    return [*names, letter, conversation, f"{conversation}/none", find(operator, "m2"), find(operator, "m4")]


def test_every_page_is_in_the_language_that_is_preferred(operator: Browser, paths: list[str]) -> None:
    for path in paths:
        answer = operator.get(path, **PORTUGUESE)
        assert '<html lang="pt-BR">' in answer.text
        assert answer.headers["content-language"] == "pt-BR"
        said = text(unescape(answer.text))
        assert [one for one in ENGLISH if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", said)] == [], path
        french = operator.get(path, accept_language="fr")
        assert '<html lang="en">' in french.text
        assert french.headers["content-language"] == "en"
        assert "Conversations" in french.text


def test_what_somebody_chose_wins_on_every_page(operator: Browser, paths: list[str]) -> None:
    operator.get("/?lang=pt-BR")
    assert all('<html lang="pt-BR">' in operator.get(path, accept_language="en").text for path in paths)


def test_numbers_of_things_and_times_are_portuguese(house: House, operator: Browser) -> None:
    house.admit("somebody-else", "m1")
    assert re.search(r"Janelas abertas 1 \S+ \S{4} 1 mensagem ", text(operator.get("/", **PORTUGUESE).text))
    house.run("bad1", "m2")
    house.run("somebody", "m3", "m4", "m3")
    sent = "3 enviadas em 5 min há 5 min máximo "
    page = wait_until(lambda: sent in (said := text(operator.get("/", **PORTUGUESE).text)) and said, interval=0.1)
    assert re.search(r"máximo 0,\d/s agora", page)
    letters = text(operator.get("/dead-letters", **PORTUGUESE).text)
    assert re.search(r"Permanent process_turn 1 item 1 tentativa, a última há \d", letters)


def test_a_story_is_told_in_portuguese_and_masked_as_ever(house: House, operator: Browser) -> None:
    house.admit("+491705551234", "a-message-of-somebody")
    house.run("+491705551234", "a-message-of-somebody", "m2")
    page = operator.get(find(operator, "a-message-of-somebody"), **PORTUGUESE).text
    for told in (
        "concluída",
        "aceita na janela de process_turn/•••",
        "veio de novo e foi suprimida: a original estava aberta (mensagem do Dramatiq ",
        "a janela fechou: o turno ",
        ": entregue ao broker",
        ", com 2 itens",
        ": concluído, com 2 respostas",
        "resposta 1: turno ",
    ):
        assert told in text(page)
    assert "a-message-of-somebody" not in page
    assert "+491705551234" not in page


def test_what_is_not_known_is_said_in_portuguese(operator: Browser) -> None:
    operator.get("/?lang=pt-BR")
    unknown = operator.submit("/conversations", "/", sought="generic:<b>100%</b>").text
    assert "Não se sabe nada da conversa &#39;generic:&lt;b&gt;100%&lt;/b&gt;&#39;" in unknown
    assert "Não existe dead letter &#39;100%s&#39;" in operator.get("/dead-letters/100%25s").text


@pytest.mark.parametrize("path", ["/", "/playground"])
def test_what_is_live_is_in_the_language_of_its_page(house: House, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("chatbot.console.streams.CHECK", 0)
    with at_console(house, url="http://127.0.0.1:9", playground=True) as browser:
        browser.log_in()
        page = browser.get(path, **PORTUGUESE).text
        (stream,) = re.findall(r'data-live="([^"]+)"', page)
        # Which was opened before somebody chose another language on another page.
        browser.get("/conversations?lang=en")
        answers = iter([True, False])

        async def holds(*_: object) -> bool:
            return next(answers)

        monkeypatch.setattr("chatbot.admin.guard.Guard._holds", holds)
        answer = browser.get(stream, accept="text/event-stream")
    assert answer.headers["content-language"] == "pt-BR"
    assert {"/": "conversas abertas", "/playground": "Escreva algumas mensagens"}[path] in answer.text
    assert not [one for one in ENGLISH if one in text(answer.text)]


def test_what_somebody_does_is_answered_in_their_language(house: House, operator: Browser) -> None:
    operator.get("/?lang=pt-BR")
    house.run("bad1", "m1")
    page = operator.get("/dead-letters").text
    letter = re.findall(r'name="id" value="([^"]+)"', page)[0]
    asked = operator.submit("/dead-letters", "/", act="drop", id=letter)
    assert "Descartar 1 dead letter para sempre?" in asked.text
    operator.submit("/dead-letters", "/", act="drop", id=letter, sure="1")
    assert "Descarte: 1 dead letter, 1 item." in operator.get("/dead-letters").text
    operator.submit("/dead-letters", "/")
    assert "Nada foi escolhido." in operator.get("/dead-letters").text
    assert "Informe uma conversa ou o id de uma mensagem." in operator.submit("/conversations", "/", sought="").text


def test_the_playground_speaks_portuguese_too(house: House) -> None:
    with at_console(house, url="http://127.0.0.1:9", playground=True) as player:
        player.log_in()
        form = {"csrf_token": player.token("/playground"), "act": "burst"}
        sent = player.post("/playground", form, accept="application/json", **PORTUGUESE).json()["sent"]
    assert [one["text"] for one in sent] == ["Oi!", "Tenho uma pergunta", "sobre o meu pedido 1234:", "onde ele está?"]
    assert {one["outcome"] for one in sent} == {"o webhook não respondeu"}
