"""Authorization requests that are pushed to the provider first: RFC 9126."""

from __future__ import annotations

import logging
import traceback
import typing as t
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Error,
    OAuth2Login,
    ProviderError,
    TokenError,
    TokenRequest,
    login_url,
)
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_client, make_handler, make_openid_client
from tests.support.provider import GARBAGE, HANG, Answer, Browser, Provider, Request

#: What differs between any two sign-ins.
OF_EACH = ("state", "nonce", "code_challenge")


def of_kind(kind: str, provider: Provider, **options: t.Any) -> OAuth2:
    """A handler that pushes: by its endpoints, or by its issuer."""
    if kind == "issuer":
        return make_openid_client(provider, redirect_uri=None, par=True, **options)
    return make_handler(provider, par=True, par_url="par", **options)


@pytest.fixture
def pushing(provider: Provider, make_app: MakeApp) -> Browser:
    """A visitor of an app that pushes its requests."""
    app = make_app(OAuth2Login(of_kind("endpoints", provider), scope="read"))
    return Browser(app, provider)


@pytest.mark.parametrize("kind", ["endpoints", "issuer"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_browser_carries_the_name_of_the_request_alone(
    provider: Provider, make_app: MakeApp, kind: str, method: str
) -> None:
    provider.require_par, provider.client_auth_methods = True, {method}
    handler = of_kind(kind, provider, client_auth=method)
    browser = Browser(make_app(OAuth2Login(handler, scope="email")), provider)
    url = browser.begin()
    (pushed,) = provider.calls("/par")
    (request_uri,) = provider.pushed
    assert query_of(url) == {"client_id": "the-client", "request_uri": request_uri}
    assert pushed.method == "POST"
    assert pushed.form["code_challenge_method"] == "S256"
    assert pushed.form["redirect_uri"] == "http://localhost/callback"
    assert ("Authorization" in pushed.headers) == (method == "client_secret_basic")
    assert browser.finish(url).status_code == 302
    assert is_signed_in(browser)


@pytest.mark.parametrize("par", [None, True, False])
@pytest.mark.parametrize("required", [True, False])
def test_a_request_is_pushed_by_itself_where_the_metadata_require_it(
    provider: Provider, make_app: MakeApp, par: bool | None, required: bool
) -> None:
    provider.require_par = required
    handler = make_openid_client(provider, redirect_uri=None, par=par)
    url = Browser(make_app(OAuth2Login(handler, scope="email")), provider).begin()
    is_pushed = required if par is None else par
    assert ("request_uri" in query_of(url)) == is_pushed
    assert len(provider.calls("/par")) == is_pushed


def test_a_public_client_pushes_too(provider: Provider, make_app: MakeApp) -> None:
    provider.client_secret = None
    browser = Browser(make_app(OAuth2Login(of_kind("issuer", provider), scope="email")), provider)
    assert browser.sign_in().status_code == 302
    (pushed,) = provider.calls("/par")
    assert pushed.form["client_id"] == "the-client"


def test_requests_are_pushed_by_the_name_that_this_server_uses(provider: Provider) -> None:
    internal_url = provider.url.replace("127.0.0.1", "localhost")
    handler = make_openid_client(provider, par=True, internal_url=internal_url)
    assert handler.authorize_url("email").startswith(f"{provider.url}/authorize?")
    assert provider.calls("/par")[0].headers["Host"].startswith("localhost:")


def test_the_query_of_the_authorization_endpoint_stays(provider: Provider) -> None:
    url = f"{provider.url}/authorize?p=x"
    handler = make_openid_client(provider, par=True, authorization_url=url)
    assert query_of(handler.authorize_url("email")).keys() == {"p", "client_id", "request_uri"}


def test_each_sign_in_pushes_once_and_a_prefetch_never(
    pushing: Browser, provider: Provider
) -> None:
    prefetch = {"Sec-Purpose": "prefetch"}
    assert pushing.get("/login", headers=prefetch).status_code == 503
    assert provider.calls("/par") == []
    one, other = pushing.begin(), pushing.begin()
    assert len(provider.calls("/par")) == 2
    assert pushing.finish(other).status_code == 302
    assert pushing.finish(one).status_code == 302


LINKS: dict[str, t.Any] = {
    "nothing": {},
    "prompt": {"prompt": "consent"},
    "max-age": {"max_age": 300},
    "acr": {"acr_values": "gold"},
    "claims": {"claims": {"id_token": {"email": {"essential": True}}}},
    "scope": {"scope": "profile"},
    "several": {"resource": ["https://one.example/", "https://other.example/"]},
}


@pytest.mark.parametrize(("kind", "link"), [*((kind, False) for kind in LINKS), ("prompt", True)])
def test_a_pushed_request_has_the_parameters_of_one_in_a_url(
    provider: Provider, make_sso: MakeSSO, kind: str, link: bool
) -> None:
    found = []
    for par in (False, True):
        app, _, browser = make_sso(handler={"par": par}, authorize_params={"ui_locales": "de"})

        @app.get("/link")
        def page() -> str:
            return login_url(link=link, **LINKS[kind])

        assert browser.sign_in().status_code == 302
        url = browser.begin(browser.get("/link").text)
        lists = provider.calls("/par")[-1].form_lists if par else lists_of(url)
        sent = {name: sorted(values) for name, values in lists.items() if name not in OF_EACH}
        found.append(sent)
        assert browser.finish(url).status_code == 302
    found[1].pop("client_secret", None)
    assert found[0] == found[1]


def lists_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


@pytest.mark.security("B1")
@pytest.mark.parametrize("failure", [Answer(503), Answer(429), HANG, None])
def test_a_provider_that_is_down_is_a_503_and_the_visitor_tries_again(
    provider: Provider, make_app: MakeApp, failure: t.Any
) -> None:
    handler = of_kind("endpoints", provider, timeout=(0.3, 0.3))
    browser = Browser(make_app(OAuth2Login(handler, scope="read")), provider)
    if failure is None:
        provider.down()
    else:
        provider.on("/par", failure)
    page = browser.get("/login?next=/me")
    assert page.status_code == 503
    assert 'href="/login?next=/me"' in page.text
    provider.up()
    provider.off()
    assert browser.sign_in("/login?next=/me").headers["Location"] == "/me"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(201, {"expires_in": 60}),
        Answer(201, {"request_uri": "", "expires_in": 60}),
        Answer(201, {"request_uri": 7, "expires_in": 60}),
        Answer(201, {"request_uri": "urn:a b\r\n", "expires_in": 60}),
        Answer(201, {"request_uri": "u" * 3000, "expires_in": 60}),
        Answer(201, ["urn:x"]),
        Answer(200, "<h1>Welcome</h1>"),
        Answer(302, headers={"Location": "https://elsewhere.example/"}),
        Answer(404, "<h1>Not found</h1>"),
        GARBAGE,
    ],
    ids=[
        "missing",
        "empty",
        "number",
        "spaced",
        "long",
        "list",
        "html",
        "redirect",
        "unknown",
        "garbage",
    ],
)
def test_nonsense_in_answer_to_a_push_is_a_502(
    pushing: Browser, provider: Provider, answer: t.Any
) -> None:
    provider.on("/par", answer)
    assert pushing.get("/login").status_code == 502
    assert not is_signed_in(pushing)


@pytest.mark.security("F5")
@pytest.mark.parametrize("expires_in", [..., -5, "soon", 1e300])
@pytest.mark.parametrize(
    "name", ["urn:x&client_id=evil&scope=admin#a", "https://evil.example/r?a=b"]
)
def test_the_name_of_a_request_is_one_parameter_of_the_providers_own_url(
    pushing: Browser, provider: Provider, name: str, expires_in: t.Any
) -> None:
    members = {"request_uri": name, "expires_in": expires_in}
    given = {each: value for each, value in members.items() if value is not ...}
    provider.on("/par", Answer(201, given))
    page = pushing.get("/login")
    assert page.headers["Location"].startswith(f"{provider.url}/authorize?")
    assert query_of(page.headers["Location"]) == {"client_id": "the-client", "request_uri": name}


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_redirect_uri_that_is_not_registered_is_told_to_the_developer(
    pushing: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.redirect_uris = ["https://app.example/callback"]
    assert pushing.get("/login").status_code == 502
    (line,) = errors_in(caplog)
    assert "http://localhost/callback" in line
    assert "not registered" in line
    assert "Register exactly this one" in line


def test_any_other_refusal_names_its_cause_and_the_redirect_uri(
    pushing: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.on("/par", Answer(400, {"error": "invalid_scope", "error_description": "read?"}))
    assert pushing.get("/login").status_code == 502
    (line,) = errors_in(caplog)
    assert "invalid_scope (read?)" in line
    assert "The redirect URI that is sent is http://localhost/callback." in line
    assert "Register" not in line


@pytest.mark.security("A12")
@pytest.mark.parametrize("query", ["prompt=nonsense", "login_hint=%00x", "ui_locales=%3Cb%3E"])
def test_whoever_follows_a_link_that_is_refused_can_sign_in_without_it(
    pushing: Browser, provider: Provider, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = query.partition("=")[0]

    def refuse(request: Request) -> Answer | None:
        return Answer(400, {"error": "invalid_request"}) if name in request.form else None

    provider.on("/par", refuse)
    page = pushing.get(f"/login?next=/me&{query}", site="cross-site")
    assert page.status_code == 400
    assert "refused the sign-in (invalid_request)" in page.text
    assert 'href="/login?next=/me"' in page.text
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.levelno == logging.WARNING
    assert "a link asks for what the provider refuses" in record.getMessage()
    assert pushing.sign_in("/login?next=/me").headers["Location"] == "/me"


def test_a_link_of_the_apps_own_that_is_refused_is_told_to_the_developer(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(OAuth2Login(of_kind("endpoints", provider)))
    with app.test_request_context():
        link = login_url(audience="nonsense")
    provider.on("/par", Answer(400, {"error": "invalid_request"}))
    page = Browser(app, provider).get(link)
    assert page.status_code == 502
    assert 'href="/login"' in page.text
    assert [each.levelname for each in caplog.records if each.levelno >= logging.WARNING] == [
        "ERROR"
    ]


def test_a_client_that_is_refused_is_told_to_the_developer(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    provider.client_secret = "another-one"
    preset = {
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "par_url": f"{provider.url}/par",
        "par": True,
    }
    config = {"OURS_CLIENT_ID": "the-client", "OURS_CLIENT_SECRET": "the-secret"}
    app = make_app(OAuth2Login("ours"), OAUTH2_LOGIN_PROVIDERS={"ours": preset}, **config)
    assert Browser(app, provider).get("/login").status_code == 502
    (line,) = errors_in(caplog)
    assert "invalid_client" in line
    assert "client_auth='client_secret_post'" in line
    assert "app.config['OURS_CLIENT_SECRET']" in line


def test_a_refusal_of_the_moment_is_a_503(pushing: Browser, provider: Provider) -> None:
    provider.on("/par", Answer(400, {"error": "temporarily_unavailable"}))
    assert pushing.get("/login").status_code == 503


@pytest.mark.security("C1")
def test_neither_the_name_of_a_request_nor_the_secret_is_logged(
    pushing: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert pushing.sign_in().status_code == 302
    provider.on(
        "/par",
        lambda request: Answer(400, {"error": "bad", "error_description": request.body.decode()}),
    )
    assert pushing.get("/login").status_code == 502
    assert "request_uri:" not in caplog.text
    assert "the-secret" not in caplog.text


@pytest.mark.security("B2")
def test_the_secret_is_not_pushed_by_plain_http(provider: Provider) -> None:
    handler = make_client(provider, par=True, par_url="http://elsewhere.example/par")
    with pytest.raises(ConfigurationError, match="par_url"):
        handler.authorize_url("read")


def test_a_handler_raises_the_errors_of_the_token_endpoint(provider: Provider) -> None:
    handler = make_client(provider, par=True, par_url="par")
    provider.redirect_uris = []
    with pytest.raises(TokenError, match="not registered") as refused:
        handler.authorize_url("read")
    assert (refused.value.error, refused.value.status_code) == ("invalid_request", 400)
    provider.down()
    with pytest.raises(ProviderError):
        handler.authorize_url("read")


@pytest.mark.parametrize("name", ["request", "request_uri"])
def test_a_pushed_request_contains_no_other_request(provider: Provider, name: str) -> None:
    handler = make_client(provider, par=True, par_url="par", authorize_params={name: "x"})
    with pytest.raises(ConfigurationError, match=name):
        handler.authorize_url("read")
    with pytest.raises(ConfigurationError, match=name):
        make_client(provider, par=True, par_url="par").authorize_url("read", **{name: "x"})
    assert provider.calls("/par") == []


def test_where_to_push_must_be_known(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="par_url"):
        make_client(provider, par=True)
    with pytest.raises(ConfigurationError, match="par='yes'"):
        make_client(provider, par="yes", par_url="par")
    handler = make_openid_client(
        provider,
        par=True,
        metadata={**provider.metadata(), "pushed_authorization_request_endpoint": None},
    )
    with pytest.raises(ProviderError, match="give it as par_url"):
        handler.authorize_url("email")


@pytest.mark.security("C13")
@pytest.mark.parametrize(
    "how",
    [Answer(400, {"error": "invalid_request"}), Answer(503), GARBAGE],
    ids=["refused", "down", "garbage"],
)
@pytest.mark.parametrize("by", ["handler", "app"])
def test_no_traceback_of_a_push_holds_a_secret(
    provider: Provider, make_app: MakeApp, how: t.Any, by: str
) -> None:
    handler = of_kind("endpoints", provider, redirect_uri="http://localhost/callback")
    app = make_app(OAuth2Login(handler))
    provider.on("/par", how)
    caught: list[BaseException] = []

    @app.errorhandler(OAuth2Error)
    def look(error: OAuth2Error) -> tuple[str, int]:
        caught.append(error)
        return "It was seen.", 500

    if by == "app":
        assert Browser(app, provider).get("/login").status_code == 500
    else:
        with pytest.raises(OAuth2Error) as raised:
            handler.authorize_url("read")
        caught.append(raised.value)
    frames = [
        frame
        for error in [*caught, *(each.__context__ for each in caught)]
        if error is not None
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals["__name__"]).startswith("flask_oauth2_login")
    ]
    assert frames
    held = [value for frame in frames for value in frame.f_locals.values()]
    secrets = [value for value in held if isinstance(value, TokenRequest) or value is handler]
    assert secrets == []
