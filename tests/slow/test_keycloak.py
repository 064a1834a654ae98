"""Against Keycloak itself, by its preset alone. Each test has a client and people of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import typing as t
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_oauth2_login import (
    Identity,
    LoginRequired,
    OAuth2Login,
    Token,
    TokenError,
    logged_out,
    login_required,
    login_url,
)
from tests.conftest import MakeApp
from tests.support.clock import Clock
from tests.support.keycloak.server import Client, Keycloak
from tests.support.keycloak.visitor import Visitor
from tests.support.provider import Browser
from tests.support.provider.browser import next_step
from tests.support.servers import free_port, wait_until
from tests.support.threads import at_once
from tests.support.visitors import call_as

#: Access tokens live for an hour (``staff-realm.json``).
HOUR = 3600
#: What each person of the realm has.
EVERYBODY = {"default-roles-staff", "offline_access", "uma_authorization"}
#: Where the API has the UserInfo endpoint, which takes an access token once it is active.
API = "/call/protocol/openid-connect/userinfo"


class Site(t.NamedTuple):
    """An app that is served, its client at Keycloak, and one visitor."""

    app: Flask
    login: OAuth2Login
    url: str
    client: Client
    browser: Browser
    visitor: Visitor

    @property
    def roles(self) -> set[str]:
        """The roles of whoever is signed in, without those that everybody has."""
        answer = self.browser.get("/me")
        assert answer.status_code == 200, answer.text
        return {*(answer.json or {})["roles"]} - EVERYBODY

    @property
    def is_signed_in(self) -> bool:
        return self.browser.fetch("/me").status_code == 200


class MakeSite(t.Protocol):
    """Make an app with the login ``keycloak``, and a client for it."""

    def __call__(
        self,
        *roles: str,
        config: t.Mapping[str, t.Any] | None = None,
        attributes: t.Mapping[str, str] | None = None,
        mappers: t.Mapping[str, t.Mapping[str, str]] | None = None,
        **login: t.Any,
    ) -> Site: ...


@pytest.fixture
def make_site(keycloak: Keycloak, make_app: MakeApp) -> t.Iterator[MakeSite]:
    """A function that serves apps, until the test ends."""
    with contextlib.ExitStack() as stack:

        def make(
            *roles: str,
            config: t.Mapping[str, t.Any] | None = None,
            attributes: t.Mapping[str, str] | None = None,
            mappers: t.Mapping[str, t.Mapping[str, str]] | None = None,
            **login: t.Any,
        ) -> Site:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            client = keycloak.add_client(
                url, *roles, attributes=attributes or {}, mappers=mappers or {}
            )
            blueprint = OAuth2Login("keycloak", **login)
            settings = {
                "KEYCLOAK_DOMAIN": keycloak.domain,
                "KEYCLOAK_REALM": keycloak.realm,
                "KEYCLOAK_CLIENT_ID": client.client_id,
                "KEYCLOAK_CLIENT_SECRET": client.secret,
                "KEYCLOAK_VERIFY": keycloak.ca,
            }
            app = make_app(blueprint, **{**settings, **(config or {})})
            server = make_server("127.0.0.1", port, app, threaded=True)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            browser = Browser(url)
            visitor = Visitor(keycloak, browser)
            stack.callback(visitor.close)
            return Site(app, blueprint, url, client, browser, visitor)

        yield make


def test_sign_in_with_roles_of_the_realm_and_of_the_client(
    keycloak: Keycloak, make_site: MakeSite
) -> None:
    site, other = make_site("writer", "reader"), make_site("owner")
    ada = keycloak.add_person("sso-admins")
    keycloak.change_roles("POST", ada, "writer", client=site.client)
    keycloak.change_roles("POST", ada, "owner", client=other.client)
    assert site.visitor.sign_in(ada, "/me").location == "/me"
    answer = site.browser.get("/me").json or {}
    assert (answer["id"], answer["name"]) == (ada.id, "Ada Lovelace")
    assert (answer["email"], answer["email_verified"]) == (f"{ada.name}@example.com", True)
    assert {*answer["roles"]} == {*EVERYBODY, "sso-admins", "writer"}
    assert (site.browser.get(API).json or {})["sub"] == ada.id


def test_names_of_the_app_for_roles_of_a_group(keycloak: Keycloak, make_site: MakeSite) -> None:
    site = make_site(role_names={"sso-editors": "editor"})

    @site.app.get("/edit")
    @login_required(roles="editor")
    def edit() -> str:
        return "edited"

    ada, eve = keycloak.add_person(), keycloak.add_person("sso-admins")
    keycloak.admin("PUT", f"users/{ada.id}/groups/{keycloak.group('leads')}")
    site.visitor.sign_in(ada)
    assert site.browser.get("/edit").text == "edited"
    site.browser.post("/logout")
    other = Visitor(keycloak, site.browser)
    other.sign_in(eve)
    other.close()
    assert site.browser.get("/edit").status_code == 403


def test_groups_that_a_mapper_adds(keycloak: Keycloak, make_site: MakeSite) -> None:
    mapper = {"claim.name": "groups", "full.path": "false", "id.token.claim": "true"}
    site = make_site(mappers={"oidc-group-membership-mapper": mapper}, roles="groups", revalidate=1)
    ada = keycloak.add_person("sso-admins")
    leads = f"users/{ada.id}/groups/{keycloak.group('leads')}"
    keycloak.admin("PUT", leads)
    site.visitor.sign_in(ada)
    assert site.roles == {"leads"}
    keycloak.admin("DELETE", leads)
    # A clock that runs ahead of Keycloak's would take its new ID tokens for old ones.
    wait_until(lambda: site.roles == set())


@pytest.mark.parametrize("in_id_token", ["false", "true"])
def test_lightweight_access_tokens_have_no_roles(
    keycloak: Keycloak, make_site: MakeSite, in_id_token: str
) -> None:
    mapper = {
        "claim.name": "realm_access.roles",
        "multivalued": "true",
        "id.token.claim": in_id_token,
    }
    site = make_site(
        attributes={"client.use.lightweight.access.token.enabled": "true"},
        mappers={"oidc-usermodel-realm-role-mapper": mapper},
        revalidate=1,
    )
    ada = keycloak.add_person("sso-admins")
    assert site.visitor.sign_in(ada).status_code == 302
    assert site.roles == ({"sso-admins"} if in_id_token == "true" else set())
    keycloak.change_roles("DELETE", ada, "sso-admins")
    wait_until(lambda: site.roles == set())


@pytest.mark.security("D1")
def test_a_role_that_is_taken_away_and_a_person_who_is_disabled(
    keycloak: Keycloak, make_site: MakeSite, clock: Clock
) -> None:
    site = make_site("writer", revalidate=900)
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    ada = keycloak.add_person("sso-admins", "sso-editors")
    keycloak.change_roles("POST", ada, "writer", client=site.client)
    site.visitor.sign_in(ada)
    assert site.roles == {"sso-admins", "sso-editors", "writer"}
    keycloak.change_roles("DELETE", ada, "sso-admins")
    keycloak.change_roles("DELETE", ada, "writer", client=site.client)
    assert site.roles == {"sso-admins", "sso-editors", "writer"}
    clock.ahead += 901
    assert site.roles == {"sso-editors"}
    keycloak.disable(ada)
    clock.ahead += 901
    with logged_out.connected_to(note, site.app):
        assert not site.is_signed_in
        assert not site.is_signed_in
    assert reasons == ["refused"]
    assert keycloak.refreshes(ada).count("REFRESH_TOKEN") == 1


def test_id_tokens_and_userinfo_have_no_roles(keycloak: Keycloak, make_site: MakeSite) -> None:
    site = make_site("writer", claims=["realm_access", "resource_access"])
    seen: list[Token] = []

    @site.login.on_login
    def note(identity: Identity, token: Token) -> None:
        seen.append(token)

    ada = keycloak.add_person("sso-admins")
    keycloak.change_roles("POST", ada, "writer", client=site.client)
    site.visitor.sign_in(ada)
    assert site.roles == {"sso-admins", "writer"}
    assert (site.browser.get("/me").json or {})["claims"] == {}, "neither has these claims"
    assert "realm_access" not in (site.browser.get(API).json or {})
    assert {"sid", "auth_time"} <= {*(seen[0].id_claims or {})}


@pytest.mark.security("C6")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
def test_32_requests_at_once_cost_one_refresh(
    keycloak: Keycloak, make_site: MakeSite, clock: Clock, tmp_path: Path, store: str
) -> None:
    site = make_site(store=f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store)
    ada = keycloak.add_person()
    site.visitor.sign_in(ada)
    call = functools.partial(call_as, site.browser, site.url, API)
    for number in range(1, 3):
        clock.ahead += HOUR - 20
        assert at_once(call, 32) == [200] * 32
        assert keycloak.refreshes(ada) == ["REFRESH_TOKEN"] * number


@pytest.mark.security("D4")
def test_an_administrator_signs_somebody_out_of_the_app(
    keycloak: Keycloak, make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site(store=f"sqlite:///{tmp_path}/logins.db")
    ada, bob = keycloak.add_person(), keycloak.add_person()
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    other = Browser(site.url)
    visitor = Visitor(keycloak, other)
    visitor.sign_in(bob)
    visitor.close()
    site.visitor.sign_in(ada)
    with logged_out.connected_to(note, site.app):
        keycloak.admin("POST", f"users/{ada.id}/logout")
        wait_until(lambda: reasons)
    assert reasons == ["back-channel"]
    assert not site.is_signed_in
    assert other.fetch("/me").status_code == 200


@pytest.mark.security("D4")
def test_signing_out_of_one_app_signs_out_of_the_other(
    keycloak: Keycloak, make_site: MakeSite, tmp_path: Path
) -> None:
    site, second = (make_site(store=f"sqlite:///{tmp_path}/{n}.db") for n in range(2))
    ada = keycloak.add_person()
    site.visitor.sign_in(ada)
    # Keycloak knows this visitor already, so it asks for no password.
    home = site.visitor.open(second.browser.begin()).url
    assert second.browser.get(home, site="cross-site").status_code == 302
    assert second.is_signed_in
    confirm_sign_out(site)
    assert not site.is_signed_in
    wait_until(lambda: not second.is_signed_in)


def confirm_sign_out(site: Site) -> None:
    """Sign out of the app and of Keycloak, which sends the browser home."""
    target, _ = next_step(site.browser.post("/logout"))
    assert target is not None
    home = site.visitor.open(target)
    assert home.url.startswith(f"{site.url}/logout?state=")
    page = site.browser.get(home.url, site="cross-site")
    assert "Signed out" in page.text


@pytest.mark.security("D5")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
def test_signing_out_of_the_app_signs_out_at_keycloak(
    keycloak: Keycloak, make_site: MakeSite, tmp_path: Path, store: str
) -> None:
    site = make_site(store=f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store)
    site.visitor.sign_in(keycloak.add_person())
    assert not site.visitor.open(site.browser.begin()).html, "it asks for no password again"
    confirm_sign_out(site)
    assert not site.is_signed_in
    assert 'name="password"' in site.visitor.open(site.browser.begin()).html


def test_a_job_calls_for_somebody_who_has_signed_out(
    keycloak: Keycloak, make_site: MakeSite, clock: Clock, tmp_path: Path
) -> None:
    site = make_site(store=f"sqlite:///{tmp_path}/logins.db", offline=True)
    ada = keycloak.add_person()
    site.visitor.sign_in(ada)
    owner = (site.browser.get("/me").json or {})["owner"]
    confirm_sign_out(site)
    assert not site.is_signed_in
    with site.app.app_context():
        job = site.login.session_for(owner)
        assert job.get(API.removeprefix("/call/")).json()["sub"] == ada.id
        clock.ahead += HOUR - 20
        assert job.get(API.removeprefix("/call/")).json()["sub"] == ada.id
        keycloak.disable(ada)
        clock.ahead += HOUR - 20
        with pytest.raises(LoginRequired):
            job.get(API.removeprefix("/call/"))
        with pytest.raises(LoginRequired):
            site.login.session_for(owner)


def test_a_token_is_exchanged_for_another_api(
    keycloak: Keycloak, make_site: MakeSite, tmp_path: Path
) -> None:
    """Keycloak names APIs by their clients, and issues tokens for those that a mapper adds."""
    other = keycloak.add_client("https://reports.example", attributes={}, mappers={}).client_id
    site = make_site(
        store=f"sqlite:///{tmp_path}/logins.db",
        attributes={"standard.token.exchange.enabled": "true"},
        mappers={
            "oidc-audience-mapper": {
                "included.client.audience": other,
                "access.token.claim": "true",
            }
        },
    )
    ada = keycloak.add_person()
    site.visitor.sign_in(ada)
    owner = (site.browser.get("/me").json or {})["owner"]
    api = f"https://{keycloak.domain}/realms/{keycloak.realm}/protocol"
    with site.app.app_context():
        own = site.login.session_for(owner)
        session = own.for_resource(api, "openid", audience=other, resource=None)
        assert session.get("openid-connect/userinfo").json()["sub"] == ada.id
        with pytest.raises(TokenError, match="invalid"):
            own.for_resource(api, audience="nobody", resource=None).get("x")
    confirm_sign_out(site)
    with site.app.app_context(), pytest.raises(LoginRequired):
        site.login.session_for(owner)


def test_a_password_is_changed_or_not(keycloak: Keycloak, make_site: MakeSite) -> None:
    site = make_site()
    statuses: list[str | None] = []

    @site.login.on_login
    def note(identity: Identity, token: Token) -> None:
        statuses.append(identity.answer.get("kc_action_status"))

    @site.app.get("/settings")
    @login_required
    def settings() -> str:
        return login_url(next="/settings", kc_action="UPDATE_PASSWORD")

    ada = keycloak.add_person()
    site.visitor.sign_in(ada)
    page = site.visitor.open(site.browser.begin(site.browser.get("/settings").text))
    assert 'name="password-new"' in page.html
    home = site.visitor.submit(page, **{"cancel-aia": "true"})
    assert site.visitor.take_home(home).location == "/settings"
    assert site.browser.get("/settings").status_code == 200
    page = site.visitor.open(site.browser.begin(site.browser.get("/settings").text))
    new = {"password-new": "another one", "password-confirm": "another one"}
    home = site.visitor.submit(page, **new)
    assert site.visitor.take_home(home).location == "/settings"
    assert statuses == [None, "cancelled", "success"]
    confirm_sign_out(site)
    assert 'name="password"' in site.visitor.log_in(site.browser.begin(), ada).html
    new_ada = dataclasses.replace(ada, password="another one")
    assert site.visitor.sign_in(new_ada).status_code == 302


def test_a_view_that_asks_for_an_action_gets_it_with_the_sign_in(
    keycloak: Keycloak, make_site: MakeSite
) -> None:
    site = make_site()

    @site.app.get("/first")
    @login_required(authorize_params={"kc_action": "UPDATE_PROFILE"})
    def first() -> str:
        return "welcome"

    page = site.visitor.log_in(site.browser.begin("/first"), keycloak.add_person())
    assert 'name="firstName"' in page.html
    fields = {"firstName": "Augusta", "lastName": "King", "email": "king@example.com"}
    assert site.visitor.take_home(site.visitor.submit(page, **fields)).location == "/first"
    assert site.browser.get("/first").text == "welcome"
    assert (site.browser.get("/me").json or {})["name"] == "Augusta King"


@pytest.mark.parametrize("option", ["internal_url", "metadata_url"])
def test_a_public_name_for_browsers_and_an_inner_one_for_the_app(
    keycloak: Keycloak, make_site: MakeSite, clock: Clock, tmp_path: Path, option: str
) -> None:
    inner = {
        "internal_url": keycloak.inner_url,
        "metadata_url": f"{keycloak.inner_url}/realms/staff/.well-known/openid-configuration",
    }
    site = make_site(
        preset={option: inner[option]},
        # Nothing but the inner name can be reached: the certificate is of no known authority.
        config={"KEYCLOAK_VERIFY": True},
        store=f"sqlite:///{tmp_path}/logins.db",
        revalidate=900,
    )
    ada = keycloak.add_person("sso-admins")
    assert site.browser.begin().startswith(f"https://{keycloak.domain}/")
    site.visitor.sign_in(ada)
    assert site.roles == {"sso-admins"}
    if option == "internal_url":
        assert (site.browser.get(API).json or {})["sub"] == ada.id
    keycloak.change_roles("DELETE", ada, "sso-admins")
    clock.ahead += 901
    assert site.roles == set()
    confirm_sign_out(site)
