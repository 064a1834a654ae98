"""Provider metadata: OpenID Connect Discovery 1.0; RFC 8414."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from . import http
from .algorithms import KINDS
from .errors import ConfigurationError, ProviderAnswerError
from .http_options import HTTPOptions
from .json_input import to_one_line
from .urls import is_secure_url, replace_origin

Document = t.Mapping[str, t.Any]

#: How long (s) all visitors get the same failure, so that they don't queue behind one another.
REMEMBER_FAILURE = 2

#: The names of a handler's endpoints in the metadata. All of them must be https: they receive a
#: secret, or lead to one.
ENDPOINTS = {
    "authorization_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "userinfo_url": "userinfo_endpoint",
    "revoke_url": "revocation_endpoint",
    "par_url": "pushed_authorization_request_endpoint",
    "device_authorization_url": "device_authorization_endpoint",
    "end_session_url": "end_session_endpoint",
    "jwks_url": "jwks_uri",
}
#: The metadata's member with the endpoints for clients with a certificate: RFC 8705, section 5.
TLS_ALIASES = "mtls_endpoint_aliases"
#: The last part of Microsoft Entra's issuers for any tenant. The issuer in their metadata has
#: :data:`TENANT` in its place.
ANY_TENANT = ("common", "organizations", "consumers")
TENANT = "{tenantid}"
#: Other values of ``iss`` that an issuer is known to use.
ALIASES: t.Mapping[str, t.Sequence[str]] = {
    "https://accounts.google.com": ("accounts.google.com",),
}


def fetch_metadata(
    options: HTTPOptions,
    issuer: str,
    http_hosts: t.Collection[str],
    *,
    url: str | None = None,
    internal_url: str | None = None,
    headers: t.Mapping[str, str] | None = None,
    is_openid: bool = True,
) -> Document:
    """Fetch an issuer's metadata: Discovery, section 4.1, or RFC 8414, section 3.1.

    :param options: how the request is sent.
    :param http_hosts: hosts that may be reached by plain http.
    :param url: the document's URL, if it is not below the issuer.
    :param internal_url: a base in place of the issuer's origin, for requests of this server.
    :param headers: sent with the request.
    :param is_openid: False to try RFC 8414 first.
    :raises ProviderError: the metadata can't be fetched, or a check of :func:`find_problem` failed.
    """
    parts = urlsplit(issuer)
    rfc8414 = parts._replace(
        path="/.well-known/oauth-authorization-server" + parts.path.rstrip("/")
    ).geturl()
    places = [issuer.rstrip("/") + "/.well-known/openid-configuration", rfc8414]
    response, found_at = None, ""
    for place in [url] if url else places if is_openid else places[::-1]:
        found_at = place if url or not internal_url else replace_origin(place, issuer, internal_url)
        headers = {"Accept": "application/json", **(headers or {})}
        response = http.send(options, "GET", found_at, headers=headers)
        if response.status != 404:
            break
    assert response is not None  # noqa: S101  (there is at least one URL)
    response.require_in_order(f"Discovery at {found_at}")
    if 300 <= response.status < 400:
        target = to_one_line(response.headers.get("Location", "nowhere"))[:200]
        raise ProviderAnswerError(
            f"Discovery at {found_at} redirects to {target}, and redirects are not followed. If"
            " that is this provider's document, name it in the option metadata_url=…, and its"
            " issuer in the option issuer=….",
            row="issuer",
        )
    document = response.json_object() if response.status == 200 else None
    if document is None:
        raise ProviderAnswerError(
            f"Discovery at {found_at} answered with status {response.status} and no JSON object: is"
            f" issuer={issuer!r} right? If the document is elsewhere, name it: metadata_url=….",
            row="issuer",
        )
    if internal_url and document.get("issuer") == replace_origin(issuer, issuer, internal_url):
        # Some providers name themselves as they were asked.
        document["issuer"] = issuer
    if problem := find_problem(document, issuer, http_hosts):
        raise ProviderAnswerError(problem, row="issuer")
    return document


def find_problem(document: Document, issuer: str, http_hosts: t.Collection[str]) -> str | None:
    """Return a sentence that says what is wrong with a metadata document, or None."""
    # Discovery, section 4.3, and RFC 8414, section 3.3: the issuers must be identical.
    found = document.get("issuer")
    if found != issuer and not (isinstance(found, str) and is_template_of(found, issuer)):
        slash = isinstance(found, str) and found.rstrip("/") == issuer.rstrip("/")
        named = to_one_line(repr(found))[:200]
        return (
            f"The metadata of issuer={issuer!r} names another issuer: {named}"
            + (", which differs in a slash at the end. " if slash else ". ")
            + "Set issuer= to that of the metadata if it is the right one. If this server reaches"
            " the provider by another name, as in a network of containers, add that name as"
            " internal_url=…."
        )
    for name in ENDPOINTS.values():
        url = document.get(name)
        if url not in (None, "") and not (isinstance(url, str) and is_secure_url(url, http_hosts)):
            return f"The metadata of {issuer} has a {name} that is no https URL."
    return None


def id_token_algorithms(document: Document) -> list[str]:
    """Return the asymmetric algorithms that the metadata name; by default RS256."""
    listed = document.get("id_token_signing_alg_values_supported")
    listed = listed if isinstance(listed, list) else []
    return [alg for alg in listed if isinstance(alg, str) and alg in KINDS] or ["RS256"]


def response_algorithms(document: Document) -> list[str]:
    """Return the asymmetric algorithms of authorization responses: JARM, section 4.

    By default they are those of ID tokens.
    """
    listed = document.get("authorization_signing_alg_values_supported")
    listed = listed if isinstance(listed, list) else []
    known = [alg for alg in listed if isinstance(alg, str) and alg in KINDS]
    return known or id_token_algorithms(document)


def is_template_of(template: str, issuer: str) -> bool:
    """Return True if ``issuer`` is for any tenant, and ``template`` is that of its metadata."""
    if template.count(TENANT) != 1:
        return False
    return any(template.replace(TENANT, tenant) == issuer for tenant in ANY_TENANT)


def is_issuer(iss: t.Any, claims: Document, document: Document, issuer: str) -> bool:
    """Return True if an ``iss`` is this provider's.

    An alias of the issuer is, and so is a template that is filled in with the tenant of the claims.

    :param claims: the claims of the token that has the ``iss``.
    :param document: the provider's metadata.
    :param issuer: the issuer, as it is configured.
    """
    if not isinstance(iss, str):
        return False
    template = str(document.get("issuer", issuer))
    if TENANT in template:
        tenant = claims.get("tid")
        known = isinstance(tenant, str) and re.fullmatch(r"[0-9A-Za-z-]+", tenant)
        return bool(known) and iss == template.replace(TENANT, str(tenant))
    return iss == issuer or iss in ALIASES.get(issuer, ())


def check_given(document: Document, issuer: str, http_hosts: t.Collection[str]) -> None:
    """Check a metadata document that the developer gave.

    :raises ConfigurationError: it is another issuer's, or has an endpoint that is not https.
    """
    if problem := find_problem(document, issuer, http_hosts):
        raise ConfigurationError(
            f"{problem} Correct the option metadata={{…}}.", row="metadata-option"
        )
