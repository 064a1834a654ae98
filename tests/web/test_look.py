"""What pages look like: the app's name, colour and policy, the providers' names and images."""

from __future__ import annotations

import re
import typing as t
from base64 import b64encode
from hashlib import sha256

import pytest
from flask import Flask, render_template_string
from jinja2 import DictLoader

from flask_oauth2_login import ConfigurationError, OAuth2Login, login_required
from flask_oauth2_login.look.colors import text_color_on
from tests.conftest import MakeApp
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider

#: A request that is answered with an error page.
REFUSED = "/callback?code=x&state=x"


def policy_of(response: t.Any) -> dict[str, str]:
    """The directives of a response's Content-Security-Policy."""
    policy = response.headers["Content-Security-Policy"].split(";")
    pairs = (directive.strip().partition(" ") for directive in policy)
    return {name: sources for name, _, sources in pairs}


@pytest.mark.security("A9")
def test_a_policy_allows_the_one_stylesheet_and_the_logos(
    make_app: MakeApp, provider: Provider
) -> None:
    logo = "https://cdn.example/sso.svg"
    login = OAuth2Login(make_handler(provider), label="Acme", logo=logo)
    app = make_app(login, OAUTH2_LOGIN_APP_LOGO="/static/logo.svg")
    page = Browser(app, provider).get("/logout")
    policy = policy_of(page)
    (style,) = re.findall("<style>(.*?)</style>", page.text, re.S)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'self' 'sha256-{digest}'"
    assert policy["img-src"] == "'self' data: https://cdn.example"
    assert f'src="{logo}"' in page.text
    assert 'src="/static/logo.svg"' in page.text
    assert " style=" not in page.text
    assert "<script" not in page.text


def test_pages_name_the_app(make_app: MakeApp, provider: Provider) -> None:
    names = ("one", "two")
    logins = [OAuth2Login(make_handler(provider), name=name, label=name) for name in names]
    browser = Browser(make_app(*logins, OAUTH2_LOGIN_APP_NAME="Acme & Co"), provider)
    page = browser.get("/me")
    assert "<h1>Sign in to Acme &amp; Co</h1>" in page.text
    assert "<title>Sign in to Acme &amp; Co · Acme &amp; Co</title>" in page.text
    assert "Go to Acme &amp; Co" in browser.get("/one/callback?code=x&state=x").text


@pytest.mark.parametrize(
    ("name", "label", "button"),
    [("sso", None, "Sign in"), ("sso", "Acme", "Sign in with Acme"), ("x", "A (b)", "A (b)")],
)
def test_only_what_the_developer_says_names_the_provider(
    make_app: MakeApp, provider: Provider, name: str, label: str | None, button: str
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), name=name, label=label))
    page = Browser(app, provider).get("/logout")
    assert f"{button}</a>" in page.text
    assert "Sso" not in page.text


def test_what_tells_presets_apart_is_for_developers(make_app: MakeApp, provider: Provider) -> None:
    handler = make_handler(provider, label="Microsoft (Entra ID and personal accounts)")
    page = Browser(make_app(OAuth2Login(handler)), provider).get("/logout")
    assert "Sign in with Microsoft</a>" in page.text
    assert page.text.count("<path ") == 4, "the four squares"


@pytest.mark.parametrize(
    ("background", "text"),
    [("#000", "#fff"), ("#ffffff", "#000"), ("#2457d6", "#fff"), ("#fc0", "#000")],
)
def test_text_on_the_accent_colour_can_be_read(
    make_app: MakeApp, provider: Provider, background: str, text: str
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), OAUTH2_LOGIN_ACCENT_COLOR=background)
    page = Browser(app, provider).get("/logout")
    assert f"background: {background}; color: {text};" in page.text


def test_no_background_is_too_dark_and_too_light_at_once() -> None:
    for grey in range(256):
        color = f"#{grey:02x}{grey:02x}{grey:02x}"
        linear = grey / 255 / 12.92 if grey <= 10 else ((grey / 255 + 0.055) / 1.055) ** 2.4
        contrast = {"#000": (linear + 0.05) / 0.05, "#fff": 1.05 / (linear + 0.05)}
        assert contrast[text_color_on(color)] >= 4.5, color


@pytest.mark.security("A9")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("APP_NAME", 7),
        ("APP_LOGO", "logo.svg"),
        ("APP_LOGO", "https://a.example;script-src/x.svg"),
        ("APP_LOGO", "javascript:alert(1)"),
        ("ACCENT_COLOR", "red; } body { display: none"),
        ("ACCENT_COLOR", "#12"),
        ("CONTENT_SECURITY_POLICY", "default-src 'self'\r\nSet-Cookie: a=b"),
        ("CONTENT_SECURITY_POLICY", True),
    ],
)
def test_a_setting_that_is_not_valid_is_told_at_registration(
    make_app: MakeApp, provider: Provider, key: str, value: t.Any
) -> None:
    settings = {f"OAUTH2_LOGIN_{key}": value}
    with pytest.raises(ConfigurationError, match=f"OAUTH2_LOGIN_{key}="):
        make_app(OAuth2Login(make_handler(provider)), **settings)


def test_the_logo_of_a_login_is_a_url(make_app: MakeApp, provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="logo="):
        make_app(OAuth2Login(make_handler(provider), logo="javascript:alert(1)"))


@pytest.mark.security("A9")
def test_an_app_may_set_the_policy_and_still_nobody_can_frame_a_page(
    make_app: MakeApp, provider: Provider
) -> None:
    own = "default-src 'self' https://cdn.example"
    app = make_app(OAuth2Login(make_handler(provider)), OAUTH2_LOGIN_CONTENT_SECURITY_POLICY=own)
    page = Browser(app, provider).get("/logout")
    assert page.headers["Content-Security-Policy"] == f"{own}; frame-ancestors 'none'"
    app.config["OAUTH2_LOGIN_CONTENT_SECURITY_POLICY"] = None
    page = Browser(app, provider).get("/logout")
    assert "Content-Security-Policy" not in page.headers
    assert page.headers["X-Frame-Options"] == "DENY"
    frame = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}
    framed = app.test_client().get("/me", headers=frame)
    assert framed.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_an_app_overrides_a_page_with_what_is_known_of_the_error(
    make_app: MakeApp, provider: Provider
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), label="Acme"))
    app.jinja_loader = DictLoader(
        {
            "oauth2_login/error.html": "{{ error_class }} {{ error }} {{ status }} {{ provider }}",
            "oauth2_login/layout.html": "<main>{% block body %}{% endblock %}</main>",
        }
    )
    browser = Browser(app, provider)
    assert browser.get(REFUSED).text == "UnknownAttemptError invalid_state 400 Acme"
    assert browser.get("/logout").text.startswith("<main>")


def test_images_have_a_size_in_a_layout_without_our_stylesheet(
    make_app: MakeApp, provider: Provider
) -> None:
    logins = [
        OAuth2Login(make_handler(provider), name="one", label="Acme"),
        OAuth2Login(make_handler(provider), name="two", label="Microsoft"),
        OAuth2Login(make_handler(provider), name="three", logo="/static/corp.svg"),
    ]
    app = make_app(*logins)
    app.jinja_loader = DictLoader({"oauth2_login/layout.html": "{% block body %}{% endblock %}"})
    page = Browser(app, provider).get("/me").text
    images = re.findall('<(?:img|svg) class="oauth2-mark"[^>]*>', page)
    assert len(images) == 3
    assert all('height="24"' in image for image in images)


def test_an_apps_own_templates_import_the_buttons(make_app: MakeApp, provider: Provider) -> None:
    names = ("one", "two")
    logins = [OAuth2Login(make_handler(provider), name=name) for name in names]
    app = make_app(*logins, OAUTH2_LOGIN_ACCENT_COLOR="#123456")

    @app.get("/menu")
    def menu() -> str:
        return render_template_string(
            '{% from "oauth2_login/macros.html" import login_button, login_buttons, logout_button,'
            " styles %}{{ styles('n') }}<nav>{{ login_buttons() }}</nav>"
            "<p>{{ login_button('two', next='/me') }}</p>{{ logout_button() }}"
        )

    browser = Browser(app, provider)
    page = browser.get("/menu").text
    assert '<style nonce="n">' in page
    assert "background: #123456" in page
    assert 'href="/one/login?next=/menu"' in page
    assert "Sign in with One</a>" in page
    assert 'href="/two/login?next=/me"' in page.partition("<p>")[2]
    assert "<form" not in page
    browser.sign_in("/one/login")
    assert '<button class="oauth2-button">Sign out</button>' in browser.get("/menu").text


def test_every_page_has_a_way_on(make_app: MakeApp, provider: Provider) -> None:
    app: Flask = make_app(OAuth2Login(make_handler(provider), label="Acme"))
    app.add_url_rule("/admin", "admin", login_required(check=lambda _: False)(lambda: "seen"))
    app.add_url_rule("/form", "form", login_required(lambda: "sent"), methods=["POST"])
    browser = Browser(app, provider)
    # What was typed into a form is one step back, which a link would make two.
    assert '<a class="oauth2-button' in browser.post("/form").text
    pages = [browser.get(REFUSED), browser.get("/logout")]
    browser.sign_in()
    pages += [browser.get("/admin"), browser.get("/logout")]
    pages += [browser.post("/logout", site="cross-site")]
    for page in pages:
        assert '<a class="oauth2-button' in page.text
        assert 'href="/"' in page.text
    assert "You are signed in as Ada Lovelace (ada@example.com)." in pages[3].text
    assert 'href="/logout">Try again' in pages[4].text


def test_a_page_that_needs_a_provider_which_is_down_can_be_tried_again(
    make_app: MakeApp, provider: Provider
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider), label="Acme")), provider)
    browser.sign_in()
    provider.down()
    page = browser.get("/call/x?y=1")
    assert page.status_code == 503
    assert "Acme is not responding." in page.text
    assert 'href="/call/x?y=1">Try again' in page.text


def test_a_person_can_allow_later_what_they_did_not_allow(
    make_app: MakeApp, provider: Provider
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), scope="read"))
    app.add_url_rule("/reports", "reports", login_required(scope="reports")(lambda: "seen"))
    browser = Browser(app, provider)
    provider.granted_scope = "read"
    browser.sign_in()
    browser.sign_in(browser.get("/reports").location)
    page = browser.get("/reports")
    assert page.status_code == 403
    assert "You are signed in as Ada Lovelace" in page.text
    provider.granted_scope = None
    (url,) = re.findall('href="([^"]*)">.*Allow it', page.text)
    browser.sign_in(url.replace("&amp;", "&"))
    assert browser.get("/reports").text == "seen"
