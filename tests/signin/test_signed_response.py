"""Authorization responses that the provider signs: JARM."""

from __future__ import annotations

import json
import logging
import time
import typing as t
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
)
from flask_oauth2_login.protocol import base64url
from tests.conftest import MakeApp, MakeProvider, MakeSSO
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import at, make_client, make_handler, make_openid_client
from tests.support.provider import (
    REMOVED,
    Answer,
    Browser,
    Provider,
    encrypt,
    make_key,
)
from tests.support.provider.encryption import make_encryption_key
from tests.support.tenants import TenantBrowser, Tenants, add_tenant_views, make_login

MODES = ["jwt", "query.jwt", "form_post.jwt"]
KEY = make_encryption_key()


def plain_oauth2(provider: Provider, **options: t.Any) -> OAuth2:
    """A handler without ID tokens, by the provider's issuer."""
    return OAuth2("the-client", "the-secret", issuer=provider.issuer, **options)


@pytest.fixture
def jarm(make_sso: MakeSSO) -> Browser:
    """A visitor of an app whose provider signs its answers."""
    return make_sso(handler={"response_mode": "jwt"}).browser


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
@pytest.mark.parametrize(
    "base_url", ["http://localhost", "https://localhost", "http://intranet.example"]
)
def test_a_signed_answer_signs_in(
    provider: Provider, make_app: MakeApp, mode: t.Any, samesite: str, base_url: str
) -> None:
    handler = make_openid_client(provider, redirect_uri=None, response_mode=mode)
    app = make_app(OAuth2Login(handler, scope="email"), SESSION_COOKIE_SAMESITE=samesite)
    browser = Browser(app, provider, base_url=base_url)
    url = browser.begin("/login?next=/me")
    assert query_of(url)["response_mode"] == mode
    answer = provider.answer(url)
    assert answer.params.keys() == {"response"}
    assert browser.finish(url).headers["Location"] == "/me"
    assert is_signed_in(browser)


@pytest.mark.parametrize("mode", MODES)
def test_plain_oauth2_with_an_issuer_reads_signed_answers(
    provider: Provider, make_app: MakeApp, mode: t.Any
) -> None:
    handler = plain_oauth2(provider, response_mode=mode, userinfo_url=f"{provider.url}/userinfo")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)


def test_endpoints_that_are_given_leave_the_keys_to_the_metadata(provider: Provider) -> None:
    urls = {"authorization_url": f"{provider.url}/authorize", "token_url": f"{provider.url}/token"}
    handler = plain_oauth2(provider, response_mode="jwt", **urls)
    answer = provider.answer(
        handler.authorize_url(state="s", redirect_uri="http://localhost/callback")
    )
    assert handler.validate_response(answer.params["response"])["state"] == "s"


FORGERIES: dict[str, dict[str, t.Any]] = {
    "none": {"alg": "none"},
    "key-of-another": {"key": make_key("RS256", 9)},
    "secret": {"key": b"the-secret", "alg": "HS256"},
    "public-key": {"key": make_key("RS256").public_pem(), "alg": "HS256"},
    "algorithm": {"key": make_key("ES256")},
    "iss-wrong": {"claims": {"iss": "https://evil.example"}},
    "iss-missing": {"claims": {"iss": REMOVED}},
    "aud-wrong": {"claims": {"aud": "another"}},
    "aud-missing": {"claims": {"aud": REMOVED}},
    "aud-second": {"claims": {"aud": ["the-client", "another"]}},
    "exp-missing": {"claims": {"exp": REMOVED}},
    "exp-past": {"claims": {"exp": at(-300)}},
    "exp-text": {"claims": {"exp": "soon"}},
    "nbf-ahead": {"claims": {"nbf": at(600)}},
    "state-missing": {"claims": {"state": REMOVED}},
    "state-wrong": {"claims": {"state": "0" * 32}},
    "state-number": {"claims": {"state": 7}},
    "code-number": {"claims": {"code": 7}},
    "code-empty": {"claims": {"code": ""}},
    "code-lines": {"claims": {"code": "a\r\nb"}},
    "code-long": {"claims": {"code": "c" * 9000}},
    "both": {"claims": {"error": "access_denied"}},
    "crit": {"header": {"crit": ["x"]}},
    "other-kind": {"header": {"typ": "logout+jwt"}},
}


@pytest.mark.security("A1", "A4", "F6")
@pytest.mark.parametrize("kind", FORGERIES)
def test_what_the_provider_did_not_sign_for_this_client_is_refused(
    provider: Provider, jarm: Browser, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider.response_options = FORGERIES[kind]
    assert_rejected(jarm, provider, jarm.sign_in())
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1, warnings
    assert "sign-in failed" in warnings[0]
    assert "eyJ" not in caplog.text


@pytest.mark.security("F6")
@pytest.mark.parametrize("kind", ["none", "key-of-another", "aud-wrong", "exp-past", "iss-missing"])
@pytest.mark.parametrize("mode", ["jwt", "form_post.jwt"])
def test_a_forged_answer_does_not_use_up_the_attempt(
    provider: Provider, make_sso: MakeSSO, kind: str, mode: str
) -> None:
    browser = make_sso(handler={"response_mode": mode}).browser
    url = browser.begin("/login?next=/me")
    provider.response_options = FORGERIES[kind]
    assert browser.finish(url).status_code == 400
    provider.response_options = {}
    assert browser.finish(url).headers["Location"] == "/me"
    assert is_signed_in(browser)


@pytest.mark.security("A1")
def test_a_signed_answer_counts_once_and_in_its_own_browser(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(handler={"response_mode": "jwt"})
    answer = provider.answer(browser.begin())
    other = Browser(app, provider)
    assert other.get(answer.url, site="cross-site").status_code == 400
    assert browser.get(answer.url, site="cross-site").status_code == 302
    browser.post("/logout")
    assert browser.get(answer.url, site="cross-site").status_code == 400
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1")
def test_a_signed_answer_is_good_for_ten_minutes(
    provider: Provider, jarm: Browser, clock: Clock
) -> None:
    url = jarm.begin()
    clock.ahead += 700
    assert_rejected(jarm, provider, jarm.finish(url))


@pytest.mark.security("F6")
@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_is_not_signed_is_refused(
    provider: Provider, make_sso: MakeSSO, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser = make_sso(handler={"response_mode": mode}).browser
    url = browser.begin()
    state = query_of(url)["state"]
    plain = provider.answer(url.replace(f"response_mode={mode}", "response_mode=query"))
    assert_rejected(browser, provider, browser.get(plain.url, site="cross-site"))
    assert "is not signed" in caplog.text
    for params in ({"error": "access_denied", "state": state}, {"state": state}, {"code": "c"}):
        response = browser.get(f"/callback?{urlencode(params)}", site="cross-site")
        assert_rejected(browser, provider, response)
    assert browser.finish(url).status_code == 302, "the attempt is still good"


def test_parameters_beside_a_signed_answer_mean_nothing(provider: Provider, jarm: Browser) -> None:
    answer = provider.answer(jarm.begin())
    url = f"{answer.url}&error=access_denied&code=x&state=y&iss=z&session_state=1"
    assert jarm.get(url, site="cross-site").status_code == 302
    assert is_signed_in(jarm)


@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "response",
    ["", "x", "a.b.c", "..", "e30.e30.", "A" * 20_000, "{}", "%FF%FE.a.b", "a\r\nb.c.d"],
    ids=["empty", "word", "letters", "dots", "objects", "long", "braces", "bytes", "lines"],
)
def test_nonsense_in_place_of_a_signed_answer_is_a_400(
    provider: Provider, jarm: Browser, response: str
) -> None:
    jarm.begin()
    url = f"/callback?response={response}" if "%" in response else None
    url = url or f"/callback?{urlencode({'response': response})}"
    assert_rejected(jarm, provider, jarm.get(url, site="cross-site"))
    twice = f"{url}&response={provider.answer(jarm.begin()).params['response']}"
    assert_rejected(jarm, provider, jarm.get(twice, site="cross-site"))


@pytest.mark.security("A5")
@pytest.mark.parametrize("mode", MODES)
def test_a_signed_refusal_is_a_page(provider: Provider, make_sso: MakeSSO, mode: str) -> None:
    browser = make_sso(handler={"response_mode": mode}).browser
    provider.person = None
    description = "<b>No</b>\r\n" + "x" * 600
    page = browser.sign_in(error_description=description)
    assert_rejected(browser, provider, page)
    assert "<b>No" not in page.text


@pytest.mark.security("E4")
def test_answers_to_no_attempt_of_this_browser_cause_no_request_for_keys(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(handler={"response_mode": "jwt"})
    jwt = provider.answer(browser.begin()).params["response"]
    stranger = Browser(app, provider)
    for _ in range(3):
        assert stranger.get(f"/callback?response={jwt}", site="cross-site").status_code == 400
    assert provider.calls("/jwks") == []


@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
@pytest.mark.parametrize("mode", ["jwt", "form_post.jwt"])
def test_an_answer_whose_keys_can_not_be_had_can_be_sent_again(
    provider: Provider, make_app: MakeApp, mode: t.Any, samesite: str
) -> None:
    handler = make_openid_client(provider, redirect_uri=None, response_mode=mode)
    app = make_app(OAuth2Login(handler, scope="email"), SESSION_COOKIE_SAMESITE=samesite)
    browser = Browser(app, provider)
    answer = provider.answer(browser.begin("/login?next=/me"))
    provider.on("/jwks", Answer(503))
    if mode == "jwt":
        page = browser.get(answer.url, site="cross-site")
    else:
        page = browser.post(answer.redirect_uri, answer.params, site="cross-site")
    if page.status_code == 200:
        page = browser.follow(page)
    assert page.status_code == 503
    provider.off()
    again = browser.get(page.request.full_path, site="same-origin")
    again = browser.follow(again) if again.status_code == 200 else again
    assert again.status_code == 302
    assert is_signed_in(browser)


def test_a_new_key_of_the_provider_works_at_once(provider: Provider, jarm: Browser) -> None:
    assert jarm.sign_in().status_code == 302
    jarm.post("/logout")
    provider.rotate_keys()
    assert jarm.sign_in().status_code == 302


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
def test_the_algorithms_are_those_of_the_metadata(
    provider: Provider, make_sso: MakeSSO, alg: str
) -> None:
    provider.keys.append(make_key(alg))
    provider.metadata_overrides = {"authorization_signing_alg_values_supported": [alg, "none"]}
    browser = make_sso(handler={"response_mode": "jwt"}).browser
    assert browser.sign_in().status_code == 400, "RS256 is for ID tokens alone"
    provider.response_options = {"key": make_key(alg)}
    assert browser.sign_in().status_code == 302


def test_without_algorithms_of_answers_those_of_id_tokens_count(
    provider: Provider, make_sso: MakeSSO
) -> None:
    provider.metadata_overrides = {"authorization_signing_alg_values_supported": REMOVED}
    assert make_sso(handler={"response_mode": "jwt"}).browser.sign_in().status_code == 302


def test_the_algorithms_of_the_option_count_first(provider: Provider, make_sso: MakeSSO) -> None:
    provider.keys.append(make_key("ES256"))
    provider.id_token_options = {"key": make_key("ES256")}
    browser = make_sso(handler={"response_mode": "jwt", "algorithms": ["ES256"]}).browser
    assert browser.sign_in().status_code == 400
    provider.response_options = {"key": make_key("ES256")}
    assert browser.sign_in().status_code == 302


@pytest.mark.parametrize("mode", MODES)
def test_an_encrypted_answer_is_read(provider: Provider, make_sso: MakeSSO, mode: str) -> None:
    provider.encrypted_by = lambda text: encrypt(text, KEY)
    options = {"response_mode": mode, "decryption_key": KEY.as_dict(private=True)}
    assert make_sso(handler=options).browser.sign_in().status_code == 302


@pytest.mark.security("F6")
def test_encryption_does_not_replace_the_signature(provider: Provider, make_sso: MakeSSO) -> None:
    provider.encrypted_by = lambda text: encrypt(text, KEY)
    options = {"response_mode": "jwt", "decryption_key": KEY.as_dict(private=True)}
    browser = make_sso(handler=options).browser
    for kind in ("none", "key-of-another", "aud-wrong"):
        provider.response_options = FORGERIES[kind]
        assert_rejected(browser, provider, browser.sign_in())
    provider.response_options = {}
    provider.encrypted_by = lambda text: encrypt(encrypt(text, KEY), KEY)
    assert_rejected(browser, provider, browser.sign_in())


def test_an_encrypted_answer_without_a_key_for_it_is_told(
    provider: Provider, jarm: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    provider.encrypted_by = lambda text: encrypt(text, KEY)
    assert_rejected(jarm, provider, jarm.sign_in())
    assert "decryption_key" in caplog.text


def test_further_parameters_are_read_from_the_signed_answer(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, login, browser = make_sso(handler={"response_mode": "jwt"})
    found: list[t.Any] = []
    login.on_login(lambda identity, _token: found.append(dict(identity.answer)))
    provider.response_options = {"claims": {"session_state": "abc", "jti": "j", "n": 5}}
    answer = provider.answer(browser.begin())
    assert browser.get(f"{answer.url}&user=mallory", site="cross-site").status_code == 302
    assert found == [{"session_state": "abc"}]


def test_with_everything_together(provider: Provider, make_sso: MakeSSO) -> None:
    key = ECKey.generate_key("P-256")
    provider.client_keys = [{**key.as_dict(private=False), "kid": key.thumbprint()}]
    provider.require_par = provider.require_jar = True
    _, _, browser = make_sso(
        handler={
            "response_mode": "form_post.jwt",
            "jar": True,
            "private_key": key.as_dict(private=True),
            "authorization_details": [{"type": "payment"}],
        }
    )
    assert browser.sign_in("/login?next=/me").headers["Location"] == "/me"
    provider.grants.expire_access()
    assert browser.get("/call/me").status_code == 200


@pytest.mark.security("C1")
def test_no_code_of_a_signed_answer_is_logged(
    provider: Provider, jarm: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = jarm.begin()
    jwt = provider.answer(url).params["response"]
    code = json.loads(base64url.decode(jwt.split(".")[1]))["code"]
    assert jarm.get(f"/callback?response={jwt}", site="cross-site").status_code == 302
    assert jarm.get(f"/callback?response={jwt}", site="cross-site").status_code == 302
    assert code not in caplog.text
    assert jwt not in caplog.text


def test_a_handler_without_flask_reads_signed_answers(provider: Provider) -> None:
    sso = make_openid_client(provider, response_mode="jwt")
    answer = provider.answer(sso.authorize_url("openid", state="s"))
    params = sso.validate_response(answer.params["response"])
    assert params["state"] == "s"
    assert sso.get_token(params["code"]) is not None
    with pytest.raises(AuthorizationError, match="it is not a JWT") as rejected:
        sso.validate_response("x")
    assert rejected.value.error == "invalid_response"
    old = provider.signed_response({"code": "c"}, {"exp": int(time.time()) - 300})
    with pytest.raises(AuthorizationError, match="it expired"):
        sso.validate_response(old)


@pytest.mark.parametrize("mode", MODES)
def test_signed_answers_need_an_issuer_and_the_handlers_option(
    provider: Provider, mode: t.Any
) -> None:
    with pytest.raises(ConfigurationError, match="needs issuer="):
        make_client(provider, response_mode=mode)
    params = {"response_mode": mode}
    with pytest.raises(ConfigurationError, match="Give the handler the option"):
        make_openid_client(provider, authorize_params=params)
    with pytest.raises(ConfigurationError, match="Give the handler the option"):
        OAuth2Login(make_handler(provider), authorize_params=params)
    with pytest.raises(ConfigurationError, match="response_mode"):
        OpenIDConnect("id", None, provider.issuer, response_mode=t.cast(t.Any, "fragment.jwt"))


@pytest.mark.security("D1")
def test_each_tenant_has_its_own_provider_sign_for_it(
    provider: Provider, make_provider: MakeProvider, make_app: MakeApp
) -> None:
    key = ECKey.generate_key("P-256")
    providers = {"acme": provider, "umbrella": make_provider()}
    for each in providers.values():
        each.client_keys = [{**key.as_dict(private=False), "kid": key.thumbprint()}]
        each.require_par = each.require_jar = True
    tenants = Tenants(
        providers, response_mode="jwt", jar=True, private_key=key.as_dict(private=True)
    )
    app = make_app(make_login(tenants))
    add_tenant_views(app)
    acme, umbrella = (TenantBrowser(app, name, "path", providers[name]) for name in providers)
    assert acme.enter().status_code == 302
    url = umbrella.begin("/umbrella/sso/login")
    state = provider.authorizations[-1]["state"]
    foreign = provider.signed_response({"code": "c", "state": state})
    path = f"/umbrella/sso/callback?response={foreign}"
    assert umbrella.get(path, site="cross-site").status_code == 400
    assert umbrella.finish(url).status_code == 302
    assert (acme.me().status_code, umbrella.me().status_code) == (200, 200)
