"""Parameters of the authorization response that only some providers send, and only once."""

from __future__ import annotations

import logging
import typing as t

import pytest

from flask_oauth2_login import Identity, OAuth2Login, Token, current_identity
from tests.conftest import MakeApp
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider

APPLE = '{"name":{"firstName":"Zoë","lastName":"Ng"},"email":"zoe@example.com"}'


class Site(t.NamedTuple):
    browser: Browser
    answers: list[dict[str, str]]


@pytest.fixture(params=["Lax", "Strict", "form_post"])
def site(request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp) -> Site:
    """A visitor, and what ``on_login`` gets; the answer comes home in one of three ways."""
    options = {"response_mode": "form_post"} if request.param == "form_post" else {}
    samesite = "Strict" if request.param == "Strict" else "Lax"
    login = OAuth2Login(make_handler(provider, **options))
    answers: list[dict[str, str]] = []

    @login.on_login
    def note(identity: Identity, _token: Token) -> None:
        assert current_identity.answer == identity.answer
        answers.append(identity.answer)

    app = make_app(login, SESSION_COOKIE_SAMESITE=samesite)
    app.add_url_rule("/answer", "answer", lambda: current_identity.answer)
    return Site(Browser(app, provider), answers)


@pytest.mark.parametrize(
    "further",
    [
        {"user": APPLE},
        {"realmId": "4620816365"},
        {"location": "eu", "accounts-server": "https://accounts.zoho.eu"},
        {},
    ],
)
def test_what_comes_once_is_handed_to_on_login(
    site: Site, caplog: pytest.LogCaptureFixture, further: dict[str, t.Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    assert site.browser.sign_in(**further).status_code == 302
    assert site.answers == [further]
    assert site.browser.get("/answer").get_json() == {}, "it is not stored"
    assert "answer" not in (site.browser.get("/me").get_json() or {})
    assert not any(value in caplog.text for value in further.values())


@pytest.mark.security("A6", "C4")
def test_a_response_can_have_any_number_of_parameters_and_few_are_kept(site: Site) -> None:
    many: dict[str, t.Any] = {f"p{number}": "x" * 60 for number in range(300)}
    assert site.browser.sign_in(**many).status_code == 302
    (kept,) = site.answers
    assert len(kept) == 16
    assert kept.items() <= many.items()


@pytest.mark.security("A6", "C4")
def test_a_long_parameter_is_left_out(site: Site) -> None:
    assert site.browser.sign_in(long="x" * 5000, short="y").status_code == 302
    assert site.answers == [{"short": "y"}]
    assert not site.browser.jar.refused


@pytest.mark.security("C4")
def test_a_long_code_goes_before_them(site: Site, provider: Provider) -> None:
    url = site.browser.begin()
    code = "c" * 2700
    assert site.browser.finish(url, code=code, user="u" * 1100).status_code == 400
    assert provider.calls("/token")[0].form["code"] == code


@pytest.mark.security("A6", "C1")
@pytest.mark.parametrize(
    "further",
    [
        {"access_token": "stolen"},
        {"id_token": "e.y.J"},
        {"waiting": "x" * 22},
        {"user": "two\nlines"},
        {"user": "nul\0"},
        {"user": ""},
    ],
)
def test_tokens_and_what_is_not_well_formed_are_left_out(
    site: Site, further: dict[str, t.Any]
) -> None:
    assert site.browser.sign_in(**further).status_code == 302
    assert site.answers == [{}]


def test_a_repeated_parameter_is_left_out(site: Site, provider: Provider) -> None:
    answer = provider.answer(site.browser.begin())
    if answer.mode == "query":
        page = site.browser.get(f"{answer.url}&x=1&x=2&y=3", site="cross-site")
        site.browser.follow(page)
        assert site.answers == [{"y": "3"}]


def test_the_answer_is_in_no_repr() -> None:
    identity = Identity("github", "1", answer={"user": "a name"})
    assert "a name" not in repr(identity)
