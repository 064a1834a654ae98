"""The APIs that tokens are for: RFC 8707."""

from __future__ import annotations

import typing as t
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_oauth2_login import ConfigurationError, TokenError
from tests.conftest import MakeSSO
from tests.support.handlers import make_client, redeem
from tests.support.provider import Provider

ONE, OTHER = "https://one.example/api?v=1&w", "urn:example:other"


@pytest.mark.parametrize("par", [False, True])
@pytest.mark.parametrize("given", [ONE, [ONE], (ONE, OTHER)], ids=["text", "one", "two"])
def test_each_request_names_them(
    provider: Provider, make_sso: MakeSSO, given: t.Any, par: bool
) -> None:
    resources = [given] if isinstance(given, str) else list(given)
    browser = make_sso(handler={"resource": given, "par": par}).browser
    url = browser.begin()
    query = provider.calls("/par")[0].form_lists if par else parse_qs(urlsplit(url).query)
    assert query["resource"] == resources
    assert browser.finish(url).status_code == 302
    provider.grants.expire_access()
    assert browser.get("/call/me").status_code == 200
    sent = [call.form_lists["resource"] for call in provider.calls("/token")]
    assert sent == [resources, resources], "also at the renewal"


@pytest.mark.parametrize("style", ["form", "json", "query"])
def test_they_are_sent_in_every_style(provider: Provider, style: t.Any) -> None:
    provider.json_requests = True
    handler = make_client(provider, resource=[ONE, OTHER], token_request=style)
    code = provider.answer(handler.authorize_url("read")).params["code"]
    if style == "query":
        with pytest.raises(TokenError, match="not a POST"):
            handler.get_token(code)
    else:
        assert handler.get_token(code)
    (call,) = provider.calls("/token")
    assert (call.json or {**call.form_lists, **call.query_lists})["resource"] == [ONE, OTHER]


def test_one_request_can_name_others(provider: Provider) -> None:
    handler = make_client(provider, resource=[ONE, OTHER])
    token = redeem(handler, provider)
    handler.refresh_token(token, resource=OTHER)
    handler.client_token("read", resource=None)
    handler.client_token("read")
    sent = [call.form_lists.get("resource") for call in provider.calls("/token")]
    assert sent == [[ONE, OTHER], [OTHER], None, [ONE, OTHER]]


def test_none_is_sent_without_the_option(provider: Provider) -> None:
    redeem(make_client(provider), provider)
    assert "resource" not in provider.authorizations[-1]
    assert "resource" not in provider.calls("/token")[-1].form


@pytest.mark.parametrize(
    "wrong",
    ["api.example", "/api", "https://api.example/#x", "https://a b/", "", ["https:"], [5], 5],
    ids=["host", "path", "fragment", "space", "empty", "scheme", "number", "bare"],
)
def test_a_resource_that_is_no_absolute_uri_is_told(provider: Provider, wrong: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="resource"):
        make_client(provider, resource=wrong)
