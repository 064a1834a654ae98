"""The guard: who gets in, and what each kind of client gets instead."""

from __future__ import annotations

import functools
import itertools
import shutil
import time
import typing as t
from pathlib import Path

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    current_identity,
    login_required,
    require_login,
)
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_handler, make_openid_login
from tests.support.provider import Browser, Provider

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

PAGE_NAVIGATION = {**PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.security("D1")
def test_nobody_gets_in_without_a_login_or_after_it(browser: Browser, provider: Provider) -> None:
    assert not is_signed_in(browser)
    browser.sign_in()
    assert is_signed_in(browser)
    copy = browser.jar.copy()
    browser.post("/logout")
    assert not is_signed_in(browser)
    browser.jar = copy
    assert not is_signed_in(browser), "copied cookies of a login that has ended"
    browser.sign_in()
    provider.grants.revoke_all()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser), "its renewal was refused"


@pytest.mark.security("D1")
def test_a_token_that_ran_out_ends_no_login(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    provider.refreshable, provider.expires_in = False, 100
    app = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(app, provider)
    browser.sign_in()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 200)
    assert is_signed_in(browser)
    response = browser.get("/call/x")
    assert response.location == "/login?next=/call/x"
    assert not provider.calls("/api/x"), "the token is not sent any more"


@pytest.mark.security("D1")
def test_another_logins_guard_lets_nobody_in(provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    app = make_app(one, two)

    @app.get("/for-two")
    @login_required("two")
    def for_two() -> str:
        return current_identity.provider

    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    assert browser.get("/for-two").location == "/two/login?next=/for-two"
    browser.sign_in("/two/login")
    browser.sign_in("/one/login")
    assert browser.get("/for-two").text == "two"


@pytest.mark.security("D1")
@pytest.mark.parametrize("through_blueprint", [False, True])
def test_a_guard_above_the_route_fails_closed(app: Flask, through_blueprint: bool) -> None:
    place: t.Any = Blueprint("other", __name__) if through_blueprint else app

    @login_required
    @place.get("/open")  # type: ignore[untyped-decorator]
    def view() -> str:
        return "seen"

    if through_blueprint:
        app.register_blueprint(place)
    with pytest.raises(ConfigurationError, match=r"below @app\.route"):
        app.test_client().get("/open")
    app.config["PROPAGATE_EXCEPTIONS"] = app.config["TESTING"] = False
    assert app.test_client().get("/open").status_code == 500


def passing(view: t.Callable[[], str]) -> t.Callable[[], str]:
    """A decorator as anybody writes it."""

    @functools.wraps(view)
    def wrapper() -> str:
        return view()

    return wrapper


@pytest.mark.security("D1")
@pytest.mark.parametrize("places", list(itertools.product([True, False], repeat=3)))
def test_a_guard_above_the_route_fails_closed_whatever_else_decorates(
    app: Flask, places: tuple[bool, bool, bool]
) -> None:
    below, between, above = places

    def view() -> str:
        return "seen"

    decorated: t.Any = passing(view) if below else view
    decorated = app.get("/open")(decorated)
    decorated = passing(decorated) if between else decorated
    decorated = login_required(decorated)
    decorated = passing(decorated) if above else decorated
    with pytest.raises(ConfigurationError, match=r"below @app\.route"):
        app.test_client().get("/open")


@pytest.mark.security("D1")
@pytest.mark.parametrize("places", list(itertools.product([True, False], repeat=3)))
def test_a_guard_below_the_route_guards_whatever_else_decorates(
    app: Flask, browser: Browser, places: tuple[bool, bool, bool]
) -> None:
    def view() -> str:
        return "seen"

    decorated: t.Any = view
    for also_guarded in places:
        decorated = login_required(decorated) if also_guarded else passing(decorated)
    app.add_url_rule("/private", "private", login_required(decorated))
    assert app.test_client().get("/private").status_code == 401
    browser.sign_in()
    assert browser.get("/private").text == "seen"


@pytest.mark.security("D1")
def test_a_class_of_views_is_guarded_by_its_attribute(app: Flask, browser: Browser) -> None:
    class Reports(MethodView):
        decorators: t.ClassVar = [login_required]

        def get(self) -> str:
            return "seen"

    app.add_url_rule("/reports", view_func=Reports.as_view("reports"))
    assert app.test_client().get("/reports").status_code == 401
    browser.sign_in()
    assert browser.get("/reports").text == "seen"
    with pytest.raises(ConfigurationError, match=r"decorators = \[login_required\]"):
        login_required(Reports)


def test_a_function_may_be_guarded_for_one_url_and_public_for_another(app: Flask) -> None:
    def view() -> str:
        return "seen"

    app.add_url_rule("/public", "public", view)
    app.add_url_rule("/private", "private", login_required(view))
    assert app.test_client().get("/public").text == "seen"
    assert app.test_client().get("/private").status_code == 401


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        (NAVIGATION, "GET", 302),
        (NAVIGATION, "HEAD", 302),
        (PAGE, "GET", 302),
        ({**NAVIGATION, **PAGE}, "POST", 401),
        ({**PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "GET", 401),
        ({**NAVIGATION, **PAGE, "Sec-Purpose": "prefetch"}, "GET", 503),
        ({"Accept": "*/*"}, "GET", 401),
        ({}, "GET", 401),
        ({"Accept": "application/json"}, "GET", 401),
        ({**PAGE, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, "GET", 401),
    ],
)
def test_each_client_gets_what_it_can_use(
    app: Flask, headers: dict[str, str], method: str, status: int
) -> None:
    @app.route("/both", methods=["GET", "POST"])
    @login_required
    def both() -> str:
        return "seen"

    response = app.test_client().open("/both?a=b", method=method, headers=headers)
    assert response.status_code == status
    if status == 302:
        assert query_of(response.location)["next"] == "/both?a=b"
    if status == 401:
        assert "Basic" not in response.headers["WWW-Authenticate"]
        page = headers.get("Accept", "").startswith("text/html") and "cors" not in headers.values()
        kind = "text/html" if page else "application/problem+json"
        assert response.mimetype == kind
        if not page:
            assert response.get_json()["login_url"] == "/login"


@pytest.mark.security("D2")
def test_htmx_gets_a_redirect_of_its_own(app: Flask) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/page"}
    response = app.test_client().get("/me", headers=headers)
    assert response.headers["HX-Redirect"] == "/login?next=/page"


def test_several_logins_are_offered_in_place(provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider, label="First"), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    client = make_app(one, two).test_client()
    page = client.get("/me", headers=PAGE)
    assert page.status_code == 401
    assert "First" in page.text
    assert "/two/login?next=/me" in page.text
    problem = client.get("/me").get_json()
    assert [login["name"] for login in problem["logins"]] == ["one", "two"]


def test_what_a_guard_can_ask_for(app: Flask, browser: Browser) -> None:
    @app.get("/admin")
    @login_required(check=lambda who: who.id == "admin")
    def admin() -> str:
        return "admin"

    @app.get("/async")
    @login_required
    async def later() -> str:
        return "async"

    closed = Blueprint("closed", __name__)

    @closed.before_request
    def members() -> None:
        require_login()

    @closed.get("/closed")
    def inside() -> str:
        return "inside"

    app.register_blueprint(closed)
    for path in ("/admin", "/async", "/closed"):
        assert browser.fetch(path).status_code == 401
    browser.sign_in()
    assert browser.get("/admin").status_code == 403
    assert browser.get("/async").text == "async"
    assert browser.get("/closed").text == "inside"
    with pytest.raises(ConfigurationError, match="decorates a view"):
        login_required(7)  # type: ignore[call-overload]


@pytest.mark.security("D1")
@pytest.mark.parametrize("nested", [False, True])
def test_a_guard_of_all_that_there_is_leaves_the_way_in_open(
    provider: Provider, make_app: MakeApp, nested: bool
) -> None:
    app = make_app()
    parent: t.Any = Blueprint("parent", __name__) if nested else app
    parent.before_request(require_login)
    parent.add_url_rule("/closed", "closed", lambda: "inside")
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.issuer)
    parent.register_blueprint(OAuth2Login(sso, name="sso"))
    if nested:
        app.register_blueprint(parent)
    browser = Browser(app, provider)
    response = browser.get("/closed")
    assert response.location == "/login?next=/closed"
    assert browser.sign_in(response.location).location == "/closed"
    assert browser.get("/closed").text == "inside"
    assert app.test_client().get("/logout").status_code == 200
    assert app.test_client().post("/backchannel-logout").status_code == 400


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    "url",
    [
        "/f/a%3Fb",
        "/f/a%23b",
        "/f/100%25",
        "/f/a%252Fb",
        "/f/a%20b?x=%20",
        "/f/%C3%A9;v=1",
        "/f/x?q=what?",
        "/f/x?q=a%26b%3D",
        "/f/x?q=a+b%2B",
        "/f/x?q=%FF&a=%5C",
        "/f/x?next=//evil.example",
    ],
)
def test_nothing_of_a_url_is_lost_by_a_sign_in(make_sso: MakeSSO, url: str) -> None:
    app, _, browser = make_sso("cookie")
    app.add_url_rule("/f/<path:name>", "f", login_required(lambda name: str(name)))
    assert browser.sign_in(browser.get(url).location).location == url


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, 401, "problem+json"),
        ({"Accept": "application/json, text/html;q=0"}, 401, "problem+json"),
        ({"Accept": "text/html; q=0.0, */*"}, 401, "problem+json"),
        ({"Accept": "application/json;q=0.2, text/html;q=0.1"}, 302, "html"),
        ({**PAGE, "Sec-Fetch-Dest": "iframe"}, 401, "html"),
        ({**PAGE_NAVIGATION, "X-Moz": "prefetch"}, 503, "html"),
    ],
)
def test_a_client_is_told_by_what_it_says_of_itself(
    make_sso: MakeSSO, headers: dict[str, str], status: int, kind: str
) -> None:
    app, *_ = make_sso("cookie")
    response = app.test_client().get("/me", headers=headers)
    assert response.status_code == status
    assert response.headers["Content-Type"].partition(";")[0].endswith(kind)


@pytest.mark.security("D2")
def test_htmx_is_led_to_the_choice_of_several_logins(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(*(OAuth2Login(make_handler(provider), name=name) for name in ("one", "two")))
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/"}
    there = app.test_client().get("/me", headers=headers).headers["HX-Redirect"]
    page = app.test_client().get(there, headers=PAGE_NAVIGATION)
    assert page.status_code == 401
    assert "/one/login" in page.text
    assert "/two/login" in page.text


def test_a_challenge_names_any_app(provider: Provider, tmp_path: Path) -> None:
    app = Flask('it"s', instance_path=str(tmp_path))
    app.config["SECRET_KEY"] = "x" * 32
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    app.add_url_rule("/me", "me", login_required(lambda: "seen"))
    challenge = app.test_client().get("/me").headers["WWW-Authenticate"]
    assert challenge == r'OAuth2Login realm="it\"s"'


@pytest.mark.security("D1")
def test_two_guards_of_two_logins_are_no_circle(provider: Provider, make_app: MakeApp) -> None:
    site = make_app(OAuth2Login(make_handler(provider), name="plain"), make_openid_login(provider))

    @site.get("/both")
    @login_required("plain")
    @login_required(max_age=300)
    def both() -> str:
        return "seen"

    browser = Browser(site, provider)
    browser.sign_in("/plain/login")
    browser.sign_in("/sso/login")
    for _ in range(3):
        response = browser.get("/both")
        if response.status_code == 200:
            break
        browser.sign_in(response.location)
    assert browser.get("/both").text == "seen"


@pytest.mark.security("D1")
def test_a_store_that_is_away_is_a_page_in_an_apps_own_layout_too(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    folder = tmp_path / "templates" / "oauth2_login"
    folder.mkdir(parents=True)
    layout = "<h1>{{ self.title() }}</h1>{% if current_identity %}{{ logout_button() }}{% endif %}"
    (folder / "layout.html").write_text("{% block title %}{% endblock %}" + layout)
    store = tmp_path / "logins.db"
    site = make_app(OAuth2Login(make_handler(provider), store=f"sqlite:///{store}"))
    site.template_folder = str(tmp_path / "templates")
    browser = Browser(site, provider)
    browser.sign_in()
    for file in tmp_path.glob("logins.db*"):
        file.unlink()
    store.mkdir()
    time.sleep(1.1)
    for path in ("/me", "/logout"):
        response = browser.get(path)
        assert response.status_code == 503, response.text
        assert "<h1>" in response.text
    shutil.rmtree(store)


@pytest.mark.security("A3", "D2")
def test_a_service_worker_that_passes_requests_on_keeps_nobody_out(browser: Browser) -> None:
    answer = browser.get("/me?x=1", dest="empty")
    assert answer.status_code == 302
    assert query_of(answer.location)["next"] == "/me?x=1"
    assert browser.get(answer.location, dest="empty").status_code == 302
    download = browser.get("/login", dest="empty", headers={"Accept": "*/*"})
    assert download.status_code == 400


@pytest.mark.security("A9")
def test_only_the_401_page_for_a_frame_may_be_framed_and_by_this_origin(browser: Browser) -> None:
    page = browser.get("/me", site="same-origin", dest="iframe")
    assert page.status_code == 401
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    others = [
        browser.get("/logout"),
        browser.get("/callback"),
        browser.get("/login", dest="iframe"),
    ]
    for other in others:
        assert "frame-ancestors 'none'" in other.headers["Content-Security-Policy"]
