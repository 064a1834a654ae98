"""The provider misbehaves in just the way it was told to, and nothing of it is left behind."""

from __future__ import annotations

import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.conftest import MakeProvider

from . import (
    CUT_AFTER,
    CUT_BEFORE,
    CUT_IN_HEADERS,
    DRIP_BODY,
    DRIP_HEADERS,
    DRIP_STATUS,
    ENDLESS_BODY,
    ENDLESS_CONTINUE,
    GARBAGE,
    HANG,
    REDIRECT,
    TOO_LONG_CONTENT_LENGTH,
    ZIP_BOMB,
    Answer,
    Drip,
    Grant,
    Hold,
    Misbehaviour,
    Provider,
)


def get(provider: Provider, timeout: float = 0.5) -> requests.Response:
    return requests.get(f"{provider.url}/jwks", timeout=timeout)


def test_reactions_are_taken_in_order(provider: Provider) -> None:
    provider.on("/jwks", Answer(500), times=1)
    provider.on("/jwks", lambda _: None, times=1)
    provider.on("/jwks", REDIRECT("/elsewhere", 307))
    assert get(provider).status_code == 500
    assert get(provider).json() == provider.jwks()
    for _ in range(2):
        answer = requests.get(f"{provider.url}/jwks", timeout=10, allow_redirects=False)
        assert answer.headers["Location"] == "/elsewhere"
    provider.off("/jwks")
    assert get(provider).json() == provider.jwks()


@pytest.mark.parametrize(
    "silent", [HANG, DRIP_STATUS, DRIP_HEADERS, DRIP_BODY, ENDLESS_CONTINUE], ids=str
)
def test_answers_that_take_too_long(provider: Provider, silent: Misbehaviour) -> None:
    provider.on("/jwks", silent)
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(get(provider, timeout=30).content)
        except requests.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    provider.wait_for("/jwks")
    thread.join(0.6)
    assert outcome == []
    provider.down()
    thread.join(10)
    # Let go, by an error or, where it cannot tell, with less than the whole answer.
    assert outcome != [Answer(body=provider.jwks()).payload]
    assert not thread.is_alive()


def test_a_drip_ends_with_the_whole_answer(provider: Provider) -> None:
    provider.on("/jwks", Drip("status", seconds=0))
    assert get(provider, timeout=10).json() == provider.jwks()


@pytest.mark.parametrize(
    "broken", [CUT_BEFORE, CUT_AFTER, GARBAGE, TOO_LONG_CONTENT_LENGTH], ids=str
)
def test_answers_that_break(provider: Provider, broken: Misbehaviour) -> None:
    provider.on("/jwks", broken, times=1)
    with pytest.raises(requests.RequestException):
        get(provider, timeout=10)
    assert get(provider, timeout=10).status_code == 200


def test_an_answer_that_ends_in_its_headers(provider: Provider) -> None:
    provider.on("/jwks", CUT_IN_HEADERS)
    answer = get(provider, timeout=10)
    # Taken for a success without content.
    assert (answer.status_code, answer.content) == (200, b"")
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize(("cut", "status"), [(CUT_BEFORE, 200), (CUT_AFTER, 400)])
def test_a_rotation_happens_before_the_cut_or_not(
    provider: Provider, cut: Misbehaviour, status: int
) -> None:
    token = provider.grants.add_refresh(Grant({"sub": "ada"}, "", 0), 43)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
    }
    provider.on("/token", cut, times=1)
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{provider.url}/token", form, timeout=10)
    assert requests.post(f"{provider.url}/token", form, timeout=10).status_code == status


def test_an_endless_body(provider: Provider) -> None:
    provider.on("/jwks", ENDLESS_BODY)
    with requests.get(f"{provider.url}/jwks", stream=True, timeout=10) as answer:
        read = 0
        for chunk in answer.iter_content(65536):
            read += len(chunk)
            if read > 5_000_000:
                break
    assert read > 5_000_000


def test_a_zip_bomb_is_small_and_becomes_large(provider: Provider) -> None:
    provider.on("/jwks", ZIP_BOMB)
    with requests.get(f"{provider.url}/jwks", stream=True, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        bomb = answer.raw.read(decode_content=False)
    assert len(bomb) < 1_000_000
    inflated = zlib.decompress(bomb, wbits=31)
    assert len(inflated) > 100_000_000
    assert json.loads(inflated) == provider.jwks()


def test_a_held_request_goes_on_when_it_is_released(provider: Provider) -> None:
    hold = Hold()
    provider.on("/jwks", hold)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, provider, 30)
        hold.wait()
        assert not answer.done()
        hold.release()
        assert answer.result().status_code == 200


def test_down_and_up_on_the_same_port(provider: Provider) -> None:
    with requests.Session() as session:
        url = f"{provider.url}/jwks"
        assert session.get(url, timeout=10).status_code == 200
        for _ in range(2):
            provider.down()
            with pytest.raises(requests.ConnectionError):
                session.get(url, timeout=10)
            provider.up()
            assert session.get(url, timeout=10).status_code == 200


def test_tls(make_provider: MakeProvider) -> None:
    provider = make_provider(tls=True)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{provider.url}/jwks", timeout=10)
    for cert, name in ((None, None), (provider.client_cert_file, "client")):
        answer = requests.get(
            f"{provider.url}/jwks", timeout=10, verify=provider.ca_file, cert=cert
        )
        assert answer.json() == provider.jwks()
        assert provider.requests[-1].client_cert == name


def test_a_stopped_provider_leaves_no_thread_and_frees_its_port() -> None:
    before = threading.active_count()
    with Provider() as provider:
        provider.on("/jwks", HANG)
        with pytest.raises(requests.Timeout):
            get(provider, timeout=0.1)
        session = requests.Session()
        session.get(f"{provider.url}/logout", timeout=10)
        assert threading.active_count() > before
    assert threading.active_count() == before
    session.close()
    with pytest.raises(requests.ConnectionError):
        get(provider)
