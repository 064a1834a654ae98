"""An app whose tenants bring their own providers."""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import urlsplit

from flask import Flask, request

from flask_oauth2_login import (
    OAuth2,
    OAuth2Login,
    current_identity,
    current_oauth_session,
    login_required,
)

from .handlers import make_openid
from .provider import Browser, Provider

#: How a request says which tenant it is for.
Way = t.Literal["path", "host", "header"]


class Tenants:
    """The table of an app's tenants, and who asked for which.

    :param providers: the provider of each tenant.
    :param options: those of each handler.
    """

    def __init__(self, providers: t.Mapping[str, Provider], **options: t.Any) -> None:
        self.providers = dict(providers)
        self.options = options
        #: The tenants that were looked up, in order.
        self.asked: list[str] = []
        #: What looking one up raises.
        self.errors: dict[str, Exception] = {}

    def __call__(self, tenant: str) -> OAuth2 | None:
        self.asked.append(tenant)
        if tenant in self.errors:
            raise self.errors[tenant]
        provider = self.providers.get(tenant)
        return None if provider is None else make_openid(provider, **self.options)


def read_host() -> str | None:
    """The tenant of ``acme.example``."""
    name, _, rest = request.host.partition(".")
    return name if rest else None


def read_header() -> str | None:
    return request.headers.get("X-Tenant")


def make_login(tenants: t.Any, way: Way = "path", **options: t.Any) -> OAuth2Login:
    """A login named ``sso`` with tenants.

    :param options: those of `OAuth2Login`.
    """
    source = {"path": "org", "host": read_host, "header": read_header}[way]
    prefix = "/<org>/sso" if way == "path" else "/sso"
    return OAuth2Login(
        tenants,
        **{"name": "sso", "tenant": source, "url_prefix": prefix, "scope": "email", **options},
    )


def add_tenant_views(app: Flask, way: Way = "path") -> None:
    """Add ``/home`` for everybody, ``/me`` and ``/call/<path>`` for whoever is signed in.

    With tenants by path, they are below the tenant.
    """
    prefix = "/<org>" if way == "path" else ""

    @app.get(f"{prefix}/home")
    def home(**_: str) -> str:
        return str(current_identity.name) if current_identity else "nobody"

    @app.get(f"{prefix}/me", endpoint="tenant_me")
    @login_required("sso")
    def me(**_: str) -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get(f"{prefix}/call/<path:path>", endpoint="tenant_call")
    @login_required
    def call(path: str, **_: str) -> tuple[t.Any, int]:
        answer = current_oauth_session.get(path)
        return answer.json(), answer.status_code


class TenantBrowser(Browser):
    """A visitor of one tenant, who may take the cookies of another one's visitor along."""

    def __init__(
        self,
        app: Flask,
        tenant: str,
        way: Way,
        provider: Provider | None = None,
        scheme: str = "http",
    ) -> None:
        host = f"{tenant}.localhost" if way == "host" else "localhost"
        super().__init__(app, provider, base_url=f"{scheme}://{host}")
        self.tenant = tenant
        self.prefix = f"/{tenant}" if way == "path" else ""
        self._header = {"X-Tenant": tenant} if way == "header" else {}

    def send(self, method: str, path: str, body: bytes = b"", **more: t.Any) -> t.Any:
        headers = {**self._header, **(more.pop("headers", None) or {})}
        return super().send(method, path, body, headers=headers, **more)

    def enter(self, **person: t.Any) -> t.Any:
        """Sign in at the tenant."""
        return self.sign_in(f"{self.prefix}/sso/login", person=person or None)

    def me(self) -> t.Any:
        """What the tenant's guarded page says to a script."""
        return self.fetch(f"{self.prefix}/me")

    def take(self, other: Browser) -> None:
        """Send another browser's cookies too, whatever host and path they are of."""
        host = urlsplit(self.origin).hostname or ""
        for cookie in other.cookies:
            self.jar.put(dataclasses.replace(cookie, domain=host, host_only=True, path="/"))
