"""Provider metadata: OpenID Connect Discovery 1.0, RFC 8414."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from . import http
from .errors import ConfigurationError, ProviderAnswerError
from .http_options import HTTPOptions
from .urls import is_secure_url

Document = t.Mapping[str, t.Any]

#: Seconds for which nobody tries again after a failure: visitors would queue up behind it.
REMEMBER_FAILURE = 2

#: What a document calls the endpoints of a handler. They get, or lead to, something secret.
ENDPOINTS = {
    "authorization_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "userinfo_url": "userinfo_endpoint",
    "revoke_url": "revocation_endpoint",
    "end_session_url": "end_session_endpoint",
    "jwks_url": "jwks_uri",
}
#: Entra's issuers for any tenant: the document's issuer has a placeholder in their place.
ANY_TENANT = ("common", "organizations", "consumers")
TENANT = "{tenantid}"
#: Other names under which issuers are known to sign.
ALIASES: t.Mapping[str, t.Sequence[str]] = {
    "https://accounts.google.com": ("accounts.google.com",),
}


def fetch_metadata(transport: HTTPOptions, issuer: str, http_hosts: t.Collection[str]) -> Document:
    """Fetch an issuer's document: Discovery 4.1, or RFC 8414, section 3.1, where there is none.

    :raises ProviderError: it can't be had, or is not one to trust.
    """
    parts = urlsplit(issuer)
    rfc8414 = parts._replace(
        path="/.well-known/oauth-authorization-server" + parts.path.rstrip("/")
    ).geturl()
    response = None
    for url in (issuer.rstrip("/") + "/.well-known/openid-configuration", rfc8414):
        response = http.send(transport, "GET", url, headers={"Accept": "application/json"})
        if response.status != 404:
            break
    assert response is not None  # noqa: S101  (there are two URLs)
    response.require_in_order(f"Discovery at {issuer}")
    document = response.json_object() if response.status == 200 else None
    if document is None:
        raise ProviderAnswerError(
            f"Discovery at {issuer} answered {response.status} and no JSON object: is the issuer"
            " right?"
        )
    if problem := find_problem(document, issuer, http_hosts):
        raise ProviderAnswerError(problem)
    return document


def find_problem(document: Document, issuer: str, http_hosts: t.Collection[str]) -> str | None:
    """What is wrong with a document, if anything."""
    # Discovery 4.3, RFC 8414 3.3: character by character.
    found = document.get("issuer")
    if found != issuer and not (isinstance(found, str) and is_template_of(found, issuer)):
        return f"The metadata of {issuer} names another issuer: {str(found)[:100]!r}."
    for name in ENDPOINTS.values():
        url = document.get(name)
        if url not in (None, "") and not (isinstance(url, str) and is_secure_url(url, http_hosts)):
            return f"The metadata of {issuer} has a {name} that is no https URL."
    return None


def is_template_of(template: str, issuer: str) -> bool:
    """Whether a document's issuer is a template, and the configured one stands for any tenant."""
    if template.count(TENANT) != 1:
        return False
    return any(template.replace(TENANT, tenant) == issuer for tenant in ANY_TENANT)


def is_issuer(iss: t.Any, claims: Document, document: Document, issuer: str) -> bool:
    """Whether ``iss`` is a provider's, a template filled in and its aliases included."""
    if not isinstance(iss, str):
        return False
    template = str(document.get("issuer", issuer))
    if TENANT in template:
        tenant = claims.get("tid")
        known = isinstance(tenant, str) and re.fullmatch(r"[0-9A-Za-z-]+", tenant)
        return bool(known) and iss == template.replace(TENANT, str(tenant))
    return iss == issuer or iss in ALIASES.get(issuer, ())


def check_given(document: Document, issuer: str, http_hosts: t.Collection[str]) -> None:
    """Check a document that the developer gave.

    :raises ConfigurationError: it is not the issuer's.
    """
    if problem := find_problem(document, issuer, http_hosts):
        raise ConfigurationError(f"{problem} It was given as metadata={{…}}.")
