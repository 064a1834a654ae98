"""The client's public keys, where the provider fetches them: ``<url_prefix>/jwks.json``."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask
from joserfc import jwk

from flask_oauth2_login import OAuth2, OAuth2Login, OpenIDConnect, require_login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import Browser, Provider

NEW = jwk.ECKey.generate_key("P-256")
OLD = jwk.RSAKey.generate_key(2048)
KEYS = [NEW.as_dict(private=True), {**OLD.as_dict(private=True), "kid": "old", "alg": "PS256"}]
PRIVATE = {"d", "p", "q", "dp", "dq", "qi"}


def served(app: Flask, path: str = "/jwks.json") -> list[dict[str, t.Any]]:
    """The keys at a URL of an app."""
    members: t.Any = app.test_client().get(path).json
    return t.cast("list[dict[str, t.Any]]", members["keys"])


def with_keys(provider: Provider) -> OAuth2:
    return make_handler(provider, private_key=KEYS)


@pytest.mark.security("C1")
@pytest.mark.parametrize("prefix", [None, "/sso", "/<lang>/sso"])
def test_all_public_keys_are_served_without_a_session(
    provider: Provider, make_app: MakeApp, prefix: str | None
) -> None:
    app = make_app(OAuth2Login(with_keys(provider), url_prefix=prefix))
    # A guard of the whole app does not stand before it.
    app.before_request(require_login)
    response = app.test_client().get(f"{prefix or ''}/jwks.json".replace("<lang>", "de"))
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert "Vary" not in response.headers
    assert "Set-Cookie" not in response.headers
    new, old = t.cast(t.Any, response.json)["keys"]
    assert new == {**NEW.as_dict(private=False), "kid": NEW.thumbprint(), "use": "sig"}
    assert old == {**OLD.as_dict(private=False), "kid": "old", "use": "sig", "alg": "PS256"}
    assert not PRIVATE & {*new, *old}


@pytest.mark.parametrize("signs", [True, False])
def test_a_key_for_decryption_is_served_too(
    provider: Provider, make_app: MakeApp, signs: bool
) -> None:
    options = {"private_key": KEYS[0]} if signs else {}
    sso = make_openid(provider, decryption_key=OLD.as_dict(private=True), **options)
    keys = served(make_app(OAuth2Login(sso)))
    expected = [(NEW.thumbprint(), "sig")] if signs else []
    assert [(key["kid"], key["use"]) for key in keys] == [*expected, (OLD.thumbprint(), "enc")]
    assert not PRIVATE & {name for key in keys for name in key}


def test_without_keys_the_url_is_the_apps_own(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    assert app.test_client().get("/jwks.json").status_code == 404
    app = Flask(__name__)
    app.secret_key = "a secret key of the tests, long enough"
    app.add_url_rule("/jwks.json", "own", lambda: {"keys": ["the app's own"]})
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    assert app.test_client().get("/jwks.json").json == {"keys": ["the app's own"]}


def test_each_tenant_has_its_own_keys(provider: Provider, make_app: MakeApp) -> None:
    def find(tenant: str) -> OAuth2 | None:
        own = {"one": {"private_key": KEYS[0]}, "two": {"private_key": KEYS[1]}, "none": {}}
        return make_handler(provider, **own[tenant]) if tenant in own else None

    app = make_app(OAuth2Login(find, tenant="org", url_prefix="/<org>/sso"))
    client = app.test_client()
    kids = [
        [key["kid"] for key in served(app, f"/{tenant}/sso/jwks.json")] for tenant in ("one", "two")
    ]
    assert kids == [[NEW.thumbprint()], ["old"]]
    for tenant in ("none", "nobody"):
        response = client.get(f"/{tenant}/sso/jwks.json")
        assert response.status_code == 404
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_other_methods_are_refused_and_not_stored(
    provider: Provider, make_app: MakeApp, method: str
) -> None:
    app = make_app(OAuth2Login(with_keys(provider)))
    response = app.test_client().open("/jwks.json", method=method)
    assert response.status_code == 405
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.security("B6")
def test_a_provider_that_reads_the_keys_signs_in_a_login_of_configuration_alone(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.client_secret, provider.client_auth_methods = None, {"private_key_jwt"}
    app = make_app(
        OAuth2Login("sso", scope="email"),
        OAUTH2_LOGIN_PROVIDERS={"sso": {"issuer": provider.issuer}},
        SSO_CLIENT_ID=provider.client_id,
        SSO_PRIVATE_KEY={"keys": KEYS},
    )
    assert isinstance(app.extensions["oauth2_login"].logins["sso"].handler, OpenIDConnect)
    provider.client_keys = served(app)
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    assert "client_assertion" in provider.calls("/token")[0].form
