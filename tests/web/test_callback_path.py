"""A redirect URI of the handler's own, whose path is not that of the callback."""

from __future__ import annotations

import pytest

from flask_oauth2_login import ConfigurationError, OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.mark.parametrize("base_url", ["http://localhost", "https://localhost"])
@pytest.mark.parametrize("kind", ["Lax", "Strict", "form_post"])
@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        (None, "/auth/github/return"),
        (None, "/callback/"),
        ("/sso", "/sso/oauth/callback"),
        ("/sso", "/sso/r%C3%A9tour"),
        ("/sso", "/sso"),
    ],
)
def test_the_callback_is_served_at_the_path_of_the_redirect_uri(
    provider: Provider, make_app: MakeApp, base_url: str, kind: str, prefix: str | None, path: str
) -> None:
    options = {"response_mode": "form_post"} if kind == "form_post" else {}
    handler = make_handler(provider, redirect_uri=base_url + path, **options)
    samesite = "Strict" if kind == "Strict" else "Lax"
    app = make_app(OAuth2Login(handler, url_prefix=prefix), SESSION_COOKIE_SAMESITE=samesite)
    browser = Browser(app, provider, base_url=base_url)
    response = browser.sign_in(f"{prefix or ''}/login?next=/me")
    assert (response.status_code, response.location) == (302, "/me")
    assert provider.calls("/token")[0].form["redirect_uri"] == base_url + path
    assert is_signed_in(browser)
    left = {cookie.name.rpartition("__")[2] for cookie in browser.cookies}
    assert left <= {"session", "oauth2_login_oauth2", "next"}


@pytest.mark.parametrize("path", ["/callback", "/other/callback", "/ssox/callback", "/", ""])
def test_a_path_outside_the_prefix_is_an_error_that_names_both(
    provider: Provider, make_app: MakeApp, path: str
) -> None:
    handler = make_handler(provider, redirect_uri=f"https://app.example{path}")
    with pytest.raises(ConfigurationError) as caught:
        make_app(OAuth2Login(handler, url_prefix="/sso"))
    assert f"redirect_uri='https://app.example{path}'" in str(caught.value)
    assert "'/sso/callback'" in str(caught.value)


@pytest.mark.parametrize("prefix", ["/one", None])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_callback_of_another_login_is_an_error_that_names_both(
    provider: Provider, make_app: MakeApp, prefix: str | None, is_first: bool
) -> None:
    handler = make_handler(provider, redirect_uri="https://app.example/two/callback")
    one = OAuth2Login(handler, name="one", url_prefix=prefix)
    two = OAuth2Login(make_handler(provider), name="two", url_prefix="/two")
    app = make_app()

    def register() -> None:
        for login in (one, two) if is_first else (two, one):
            app.register_blueprint(login)

    with pytest.raises(ConfigurationError) as caught:
        register()
    assert "redirect_uri='https://app.example/two/callback'" in str(caught.value)
    assert "'one'" in str(caught.value)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("path", ["/done", "/oauth/return"])
def test_a_view_of_the_apps_own_at_that_path_goes_before(
    provider: Provider, make_app: MakeApp, is_first: bool, path: str
) -> None:
    app = make_app()
    login = OAuth2Login(make_handler(provider, redirect_uri=f"https://app.example{path}"))
    if is_first:
        app.add_url_rule(path, "done", lambda: "my own")
    app.register_blueprint(login)
    if not is_first:
        app.add_url_rule(path, "done", lambda: "my own")
    assert app.test_client().get("/login").status_code == 302
    assert app.test_client().get(path).text == "my own"


@pytest.mark.parametrize(
    ("prefix", "path"),
    [("/sso", "/app/sso/callback"), ("/<lang>", "/en/callback"), ("/sso", "/sso/callback")],
)
def test_a_path_that_the_callback_has_already_is_no_error(
    provider: Provider, make_app: MakeApp, prefix: str, path: str
) -> None:
    handler = make_handler(provider, redirect_uri=f"https://app.example{path}")
    app = make_app(OAuth2Login(handler, url_prefix=prefix))
    assert len(list(app.url_map.iter_rules("oauth2.callback"))) == 1


def test_the_path_at_which_the_app_is_mounted_is_no_part_of_its_rules(
    provider: Provider, make_app: MakeApp
) -> None:
    handler = make_handler(provider, redirect_uri="https://app.example/app/sso/done")
    app = make_app(OAuth2Login(handler, url_prefix="/sso"), APPLICATION_ROOT="/app")
    rules = {rule.rule for rule in app.url_map.iter_rules("oauth2.callback")}
    assert rules == {"/sso/callback", '/sso/<any("done"):callback_segment>'}
