"""What browsers do by themselves: service workers, pages kept for Back, frames, restored tabs."""

from __future__ import annotations

import re
import typing as t

import pytest
from flask import Flask, Response, request

from flask_oauth2_login import OAuth2, OAuth2Login, current_identity, login_required, logout_button
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.chromium import HistoryPage, new_page, serving
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import Provider
from tests.support.servers import wait_until

if t.TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SERVICE_WORKER = """
oninstall = () => skipWaiting();
onactivate = event => event.waitUntil(clients.claim());
onfetch = event => event.respondWith(fetch(event.request));
"""

#: Says in the title if the page was loaded, or comes back as it was left.
SAYS_IF_KEPT = """
<script>onpageshow = event => document.title = event.persisted ? "kept" : "loaded"</script>
"""

Handlers = pytest.mark.parametrize("make", [make_handler, make_openid])


def add_profile(app: Flask) -> None:
    """Add ``/profile``, a guarded page for people, and ``/news``, which is for everybody."""

    @app.get("/profile")
    @login_required
    def profile() -> str:
        name = f'<p id="person">{current_identity.id}</p>'
        links = '<a id="news" href="/news">News</a><a id="out" href="/logout">Sign out</a>'
        return f"<!doctype html>{SAYS_IF_KEPT}{name}{links}{logout_button()}"

    @app.get("/news")
    def news() -> str:
        return f"<!doctype html>{SAYS_IF_KEPT}<p>News</p>"


@pytest.mark.security("A3", "D2")
def test_a_service_worker_that_passes_requests_on_keeps_nobody_out(
    page: Page, provider: Provider, make_app: MakeApp
) -> None:
    provider.consent_page = True
    # "Strict" adds a page of ours and a second request to /callback.
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    add_profile(app)
    seen: list[tuple[str, str | None, str | None]] = []

    @app.get("/start")
    def start() -> str:
        return '<!doctype html><script>navigator.serviceWorker.register("/worker.js")</script>'

    @app.get("/worker.js")
    def worker() -> Response:
        return Response(SERVICE_WORKER, content_type="text/javascript")

    @app.before_request
    def note() -> None:
        headers = request.headers
        seen.append((request.path, headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")))

    with serving(app, "localhost") as url:
        page.goto(f"{url}/start")
        page.wait_for_function("navigator.serviceWorker.controller")
        seen.clear()
        page.goto(f"{url}/profile?x=1")
        page.click("#consent")
        page.wait_for_url(f"{url}/profile?x=1")
        assert page.inner_text("#person") == "ada"
        assert page.evaluate("navigator.serviceWorker.controller.scriptURL") == f"{url}/worker.js"
    pages = [each for each in seen if each[0] in {"/profile", "/login", "/callback"}]
    assert {path for path, *_ in pages} == {"/profile", "/login", "/callback"}
    assert {tuple(each) for _, *each in pages} == {("navigate", "empty")}


@pytest.fixture
def history() -> t.Iterator[HistoryPage]:
    """A page of a browser that keeps pages for its Back button."""
    with new_page(back_forward_cache=True) as page:
        yield HistoryPage(page)


@pytest.mark.security("D3")
@pytest.mark.parametrize("form", ["on the page itself", "at /logout"])
@Handlers
def test_back_shows_no_guarded_page_after_a_sign_out(
    history: HistoryPage,
    provider: Provider,
    make_app: MakeApp,
    make: t.Callable[[Provider], OAuth2],
    form: str,
) -> None:
    app = make_app(OAuth2Login(make(provider), scope="email"))
    add_profile(app)
    with serving(app, "localhost") as url:
        history.goto(f"{url}/profile")
        history.wait_for("document.querySelector('#person')")
        history.click("#news")
        history.wait_for("location.pathname == '/news'")
        history.back()
        # While somebody is signed in, the page comes back.
        history.wait_for("location.pathname == '/profile' && document.title == 'kept'")
        if form == "at /logout":
            history.click("#out")
            history.wait_for("location.pathname == '/logout'")
        provider.consent_page = True
        history.click("form button")
        history.wait_for("document.title == 'Signed out'")
        assert bool(provider.sign_outs) == (make is make_openid)
        while history.evaluate("location.pathname") == "/logout":
            history.back()
            history.wait_for("true")
        history.wait_for("document.querySelector('#consent')")
        assert history.evaluate("location.href").startswith(f"{provider.url}/authorize?")


@pytest.mark.security("A9", "D2")
def test_a_guarded_page_in_a_frame_of_the_apps_own_offers_the_sign_in(
    page: Page, provider: Provider, make_app: MakeApp
) -> None:
    provider.consent_page = True
    app = make_app(OAuth2Login(make_handler(provider)))
    add_profile(app)

    @app.get("/outer")
    def outer() -> str:
        return '<!doctype html><iframe src="/profile"></iframe>'

    with serving(app, "localhost") as url:
        page.goto(f"{url}/outer")
        frame = page.frame_locator("iframe")
        assert frame.locator("h1").inner_text() == "Please sign in"
        with page.context.expect_page() as opened:
            frame.locator("a").click()
        window = opened.value
        window.click("#consent")
        window.wait_for_url(f"{url}/outer")
        assert window.frame_locator("iframe").locator("#person").inner_text() == "ada"
        page.reload()
        assert frame.locator("#person").inner_text() == "ada"


@pytest.mark.security("A9")
def test_no_other_origin_can_frame_the_page_that_offers_the_sign_in(
    page: Page, provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    add_profile(app)
    other = Flask("other")

    @other.get("/")
    def frames() -> str:
        shown, blocked = request.args["shown"], request.args["blocked"]
        return (
            f'<!doctype html><iframe name="shown" src="{shown}"></iframe>'
            f'<iframe name="blocked" src="{blocked}"></iframe>'
        )

    statuses: list[int] = []

    @app.after_request
    def note(response: Response) -> Response:
        if request.path == "/profile":
            statuses.append(response.status_code)
        return response

    with (
        serving(app, "localhost") as url,
        serving(other, "localhost") as same_site,
        serving(other, "127.0.0.1") as cross_site,
    ):
        for other_url in (same_site, cross_site):
            page.goto(f"{other_url}/?shown={url}/news&blocked={url}/profile")
            page.frame_locator("[name=shown]").get_by_text("News").wait_for()
            blocked = page.frame_locator("[name=blocked]")
            blocked.get_by_text("ERR_BLOCKED_BY_RESPONSE").wait_for(state="attached")
    assert statuses == [401, 401]


@pytest.mark.security("A1", "A3")
def test_twenty_tabs_restored_at_once_all_end_on_pages_of_the_app(
    page: Page, provider: Provider, make_app: MakeApp
) -> None:
    provider.consent_page = True
    app = make_app(OAuth2Login(make_openid(provider), scope="email"))
    answers: list[tuple[str, int]] = []

    @app.get("/tab/<int:number>")
    @login_required
    def numbered(number: int) -> str:
        return f"<!doctype html><p>{number}: {current_identity.id}"

    @app.after_request
    def note(response: Response) -> Response:
        answers.append((request.path, response.status_code))
        return response

    with serving(app, "localhost") as url:
        tabs = open_at_once(page, [f"{url}/tab/{number}" for number in range(20)])
        for tab in tabs.values():
            tab.wait_for_selector("#consent")
        # Requests that arrive at the same time don't see each other's cookies. One more does.
        page.goto(f"{url}/login")
        cookies = page.context.cookies(f"{url}/login")
        names = " ".join(cookie["name"] for cookie in cookies)
        assert sum(len(f"{cookie['name']}={cookie['value']}; ") for cookie in cookies) < 3000
        assert len(re.findall(r"__[0-9a-f]{32}\b", names)) == 8
        kept = [own for own, tab in tabs.items() if query_of(tab.url)["state"] in names]
        others = [own for own in tabs if own not in kept]
        first, *rest = kept
        assert len(rest) == 6, "the eighth is that of the login page"
        # Of both kinds in turn.
        order = [first, *others[::2], *rest, *others[1::2]]
        for own in order:
            tabs[own].click("#consent")
            tabs[own].wait_for_url(f"{url}/**")
            assert tabs[own].url in {own, f"{url}/"}
        assert all(tabs[own].url == own for own in kept)
        page.goto(f"{url}/me")
        assert '"id":"ada"' in page.content().replace(" ", "")
    assert all(status < 400 for path, status in answers if path != "/favicon.ico")


def open_at_once(page: Page, urls: list[str]) -> dict[str, Page]:
    """Open tabs without waiting for any of them; the page of each URL."""
    devtools = page.context.new_cdp_session(page)
    context = devtools.send("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    everything = t.cast("Browser", page.context.browser).new_browser_cdp_session()
    urls_by_id = {}
    for url in urls:
        target = {"url": url, "browserContextId": context, "background": True}
        urls_by_id[everything.send("Target.createTarget", target)["targetId"]] = url
    wait_until(lambda: page.evaluate("true") and len(page.context.pages) > len(urls))
    tabs = {}
    for tab in page.context.pages:
        info = page.context.new_cdp_session(tab).send("Target.getTargetInfo")["targetInfo"]
        if info["targetId"] in urls_by_id:
            tabs[urls_by_id[info["targetId"]]] = tab
    return tabs
