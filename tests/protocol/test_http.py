"""Requests to a provider and the proxies of this machine."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from flask_oauth2_login import ConfigurationError, OAuth2, OAuth2Login, ProviderError, TokenError
from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import query_of
from tests.support.clock import Clock
from tests.support.forks import in_child
from tests.support.handlers import CALLBACK, make_client, make_handler, make_openid, redeem
from tests.support.provider import (
    CUT_AFTER,
    CUT_BEFORE,
    DRIP_BODY,
    DRIP_HEADERS,
    ENDLESS_CONTINUE,
    HANG,
    REDIRECT,
    Answer,
    Browser,
    Misbehaviour,
    Provider,
    Request,
)
from tests.support.provider.misbehaviour import Behave
from tests.support.provider.server import Connection


@pytest.mark.security("B2")
def test_no_proxy_reads_what_is_for_this_machine_alone(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there: whatever went by this proxy would fail.
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = make_handler(provider)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    home = {"redirect_uri": "http://localhost/callback"}
    answer = query_of(provider.consent(handler.authorize_url(**home)))
    token = handler.get_token(answer["code"], **home)
    assert handler.session(token).get("x").status_code == 200


@pytest.mark.security("B2")
def test_a_host_that_is_not_named_any_more_gets_no_secret_by_http() -> None:
    handler = OAuth2(
        "the-client",
        "secret",
        "http://host.invalid",
        http_hosts=["host.invalid"],
        token_url="token",
    )
    with pytest.raises(ProviderError):
        handler.get_token("code", redirect_uri=CALLBACK)
    handler.http_hosts = frozenset()
    with pytest.raises(ConfigurationError, match="must be an absolute https:// URL"):
        handler.get_token("code", redirect_uri=CALLBACK)


def test_a_socks_proxy_is_the_developers_mistake(provider: Provider) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed: pip install requests[socks]")
    handler = make_handler(provider, proxies={"http": "socks5h://127.0.0.1:9"})
    with pytest.raises(ConfigurationError, match="SOCKS"):
        handler.get_token("code")


def test_requests_to_a_provider_share_its_connections(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider = make_provider(tls=True)
    handler = make_openid(provider, verify=provider.ca_file or None)
    browser = Browser(make_app(OAuth2Login(handler, name="sso", scope="email")), provider)
    for _ in range(5):
        assert browser.sign_in().status_code == 302
        assert browser.fetch("/call/x").status_code == 200
    own = [request for request in provider.requests if request.path != "/authorize"]
    assert len(own) >= 11
    assert len({request.connection for request in own}) == 1


def test_a_connection_that_the_provider_has_closed_is_opened_anew(provider: Provider) -> None:
    handler = make_client(provider)
    redeem(handler, provider)
    provider.down()
    provider.up()
    redeem(handler, provider)
    first, second = provider.calls("/token")
    assert first.connection != second.connection


@pytest.mark.security("B5")
def test_what_is_sent_once_is_sent_over_no_connection_that_may_be_closing(
    provider: Provider, clock: Clock
) -> None:
    handler = make_client(provider, userinfo_url="userinfo")
    token = redeem(handler, provider)
    redeem(handler, provider)
    clock.ahead += 2
    handler.fetch_identity(token)
    clock.ahead += 2
    redeem(handler, provider)
    first, second, third = (call.connection for call in provider.calls("/token"))
    (fetch,) = provider.calls("/userinfo")
    assert first == second == fetch.connection != third


@pytest.mark.security("B5")
def test_nothing_is_sent_over_a_connection_that_was_idle_for_minutes(
    provider: Provider, clock: Clock
) -> None:
    handler = make_client(provider, userinfo_url="userinfo", api_url=provider.api_url)
    token = redeem(handler, provider)
    for _ in range(2):
        clock.ahead += 200
        handler.fetch_identity(token)
        clock.ahead += 200
        handler.session(token).get("x")
    assert len({request.connection for request in provider.requests}) >= 5


@pytest.mark.security("B5")
@pytest.mark.parametrize("cut", [CUT_BEFORE, CUT_AFTER])
def test_a_code_is_never_sent_again_over_another_connection(
    provider: Provider, cut: Misbehaviour
) -> None:
    handler = make_client(provider)
    redeem(handler, provider)
    provider.on("/token", cut)
    with pytest.raises(ProviderError) as caught:
        handler.get_token("code")
    assert len(provider.calls("/token")) == 2
    assert not caught.value.is_grant_unused, "it may have been read"


@pytest.mark.parametrize("cut", [CUT_BEFORE, CUT_AFTER])
def test_a_fetch_over_a_connection_that_was_just_closed_is_sent_once_more(
    provider: Provider, cut: Misbehaviour
) -> None:
    handler = make_client(provider, userinfo_url="userinfo")
    token = redeem(handler, provider)
    provider.on("/userinfo", cut, times=1)
    identity = handler.fetch_identity(token)
    assert identity is not None
    assert len(provider.calls("/userinfo")) == 2


@pytest.mark.security("B1")
@pytest.mark.parametrize("trouble", [DRIP_BODY, DRIP_HEADERS, ENDLESS_CONTINUE, HANG])
def test_a_connection_that_is_used_again_has_a_deadline_too(
    provider: Provider, trouble: Misbehaviour
) -> None:
    handler = make_client(provider, timeout=(0.5, 0.5))
    redeem(handler, provider)
    provider.on("/token", trouble, times=1)
    began = time.monotonic()
    with pytest.raises(ProviderError):
        handler.get_token("code")
    assert time.monotonic() - began < 2
    assert redeem(handler, provider), "a new connection serves the next one"
    used = [call.connection for call in provider.calls("/token")]
    assert used[0] == used[1] != used[2]


@pytest.mark.security("B1")
def test_what_is_left_of_an_answer_is_never_read_as_the_next_one(provider: Provider) -> None:
    handler = make_client(provider)
    for answer in (Answer(body="x" * 2_000_000), REDIRECT("/elsewhere")):
        provider.on("/token", answer, times=1)
        with pytest.raises(ProviderError):
            handler.get_token("code")
        assert redeem(handler, provider)


class Interim(Misbehaviour):
    """Answers well, after an interim answer."""

    def __init__(self, status: str) -> None:
        self._status = status

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        connection.send(f"HTTP/1.1 {self._status}\r\nLink: </style.css>\r\n\r\n".encode())
        return behave()


@pytest.mark.security("C5")
@pytest.mark.parametrize(
    "status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Else", "101 Switching"]
)
def test_nobody_gets_the_answer_to_somebody_elses_request(provider: Provider, status: str) -> None:
    handler = make_client(provider, api_url=provider.api_url)
    provider.on("/token", Interim(status), times=2)
    for _ in range(2):
        if status.startswith("101"):
            with pytest.raises(ProviderError, match="status 101"):
                redeem(handler, provider)
        else:
            assert redeem(handler, provider)
    provider.on("/token", Answer(400, {"error": "invalid_grant"}))
    with pytest.raises(TokenError, match="invalid_grant"):
        redeem(handler, provider)
    api = handler.session({"access_token": "theirs", "token_type": "Bearer"})
    provider.on("/api/y", Answer(body={"for": "y"}))
    provider.on("/api/x", Interim(status), times=2)
    for _ in range(2):
        api.get("x")
    assert api.get("y").json() == {"for": "y"}


class Twice(Misbehaviour):
    """Sends an answer that nobody has asked for right behind another one."""

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        answer, more = behave(), Answer(body={"for": "nobody"})
        connection.send(
            b"".join(each.head(len(each.payload)) + each.payload for each in (answer, more))
        )
        connection.wait_until_left()
        return None


@pytest.mark.security("C5")
@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_over_which_too_much_came_is_not_used_again(
    make_provider: MakeProvider, tls: bool
) -> None:
    provider = make_provider(tls=tls)
    handler = make_client(provider, api_url=provider.api_url, verify=provider.ca_file or None)
    api = handler.session({"access_token": "theirs", "token_type": "Bearer"})
    provider.on("/api/y", Answer(body={"for": "y"}))
    for path, send in (
        ("/token", lambda: redeem(handler, provider)),
        ("/api/x", lambda: api.get("x")),
    ):
        provider.on(path, Twice(), times=1)
        send()
        assert api.get("y").json() == {"for": "y"}
        assert provider.requests[-1].connection != provider.requests[-2].connection


@pytest.mark.security("C5")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here.")
def test_a_forked_child_opens_connections_of_its_own(provider: Provider) -> None:
    handler = make_client(provider)
    token = redeem(handler, provider)

    def child() -> None:
        assert handler.refresh_token(token)

    assert os.waitstatus_to_exitcode(os.waitpid(in_child(child), 0)[1]) == 0
    redeem(handler, provider)
    first, of_child, second = (call.connection for call in provider.calls("/token"))
    assert first == second != of_child


@pytest.mark.security("B2")
def test_a_ca_bundle_counts_as_it_is_when_a_connection_is_opened(
    make_provider: MakeProvider, tmp_path: Path
) -> None:
    provider, others = make_provider(tls=True), DEFAULT_CA_BUNDLE_PATH
    bundle = tmp_path / "bundle.pem"
    shutil.copy(str(provider.ca_file), bundle)
    handler = make_client(provider, verify=str(bundle))
    for _ in range(3):
        assert redeem(handler, provider)
        provider.down()
        provider.up()
    assert len({call.connection for call in provider.calls("/token")}) == 3
    for content in (others, None, os.devnull):
        if content is None:
            bundle.unlink()
        else:
            bundle.write_bytes(Path(content).read_bytes())
        with pytest.raises(ProviderError):
            handler.get_token("code")
    shutil.copy(str(provider.ca_file), bundle)
    assert redeem(handler, provider), "the right one is there again"
    bundle.write_bytes(Path(others).read_bytes())
    provider.down()
    provider.up()
    with pytest.raises(ProviderError):
        handler.get_token("code")
