"""Requests with a token to the endpoints that say who its person is."""

from __future__ import annotations

import typing as t

from ..protocol import http, urls
from ..protocol.errors import IDTokenError, ProviderAnswerError
from ..protocol.identity import Identity, find_path, picks_by
from ..protocol.token import Token
from .resource_server import ResourceServer

if t.TYPE_CHECKING:
    from ..protocol.id_token import Verifier


def fetch(api: ResourceServer, method: str, url: str, token: Token) -> http.Response:
    """Send one request with the token, limited in time and size.

    :param url: an absolute URL.
    :raises ConfigurationError: the URL is not https.
    :raises ProviderError: the provider can't be reached, or says that it can't answer now.
    """
    urls.require_https(url, "An endpoint that gets the token", api.http_hosts)
    response = http.send(
        api.http_options,
        method,
        url,
        headers={"Accept": "application/json", **api.headers},
        auth=lambda request: api.add_token(request, token),
    )
    response.require_in_order(url.partition("?")[0])
    return response


def fetch_userinfo(api: ResourceServer, method: str, url: str, token: Token) -> dict[str, t.Any]:
    """Return the JSON object that ``userinfo_url`` of an OAuth 2.0 provider sends.

    :raises ProviderError: the provider can't be reached, rejects the token, or sends something
        else.
    """
    response = fetch(api, method, url, token)
    if response.status in {401, 403}:
        raise ProviderAnswerError(
            f"userinfo_url answered with status {response.status}: does the scope allow it?"
        )
    members = response.json_object() if 200 <= response.status < 300 else None
    if members is None:
        raise ProviderAnswerError(
            f"userinfo_url answered with status {response.status} and no JSON object."
        )
    return members


def add_email(identity: Identity, api: ResourceServer, url: str, path: str, token: Token) -> None:
    """Set the identity's e-mail address from a second request, if its response has one.

    :param path: where the address is in the response. See :func:`find_path`.
    :raises ProviderError: the provider can't be reached, or says that it can't answer now.
    """
    response = fetch(api, "GET", url, token)
    email = find_path(response.json(), path)
    if isinstance(email, str) and 200 <= response.status < 300:
        identity.email = email
        identity.email_verified = picks_by(path, "verified")


def fetch_claims(
    api: ResourceServer,
    method: str,
    url: str,
    token: Token,
    make_verifier: t.Callable[[], Verifier],
) -> dict[str, t.Any]:
    """Return the claims that OpenID Connect's UserInfo endpoint sends: Core 1.0, section 5.3.

    :param make_verifier: called if the response is signed.
    :raises IDTokenError: the response is signed, and a check failed.
    :raises ProviderError: the provider can't be reached, or sends no claims.
    """
    response = fetch(api, method, url, token)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status == 200 and kind == "application/jwt":
        from ..protocol.id_token import validate_userinfo

        jwt = response.body.decode("ascii", "replace").strip()
        return validate_userinfo(jwt, make_verifier())
    claims = response.json_object() if response.status == 200 else None
    if claims is None:
        raise ProviderAnswerError(f"UserInfo answered with status {response.status} and no claims.")
    return claims


def merge_claims(
    id_claims: t.Mapping[str, t.Any], userinfo: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Return the claims of an ID token and of UserInfo together. The ID token's take precedence.

    :raises IDTokenError: UserInfo is about somebody else (Core 1.0, section 5.3.2).
    """
    if userinfo.get("sub") != id_claims.get("sub"):
        raise IDTokenError("UserInfo is about somebody else")
    own, others = dict(id_claims), dict(userinfo)
    # email_verified only counts for the email of the same source.
    (others if "email" in own else own).pop("email_verified", None)
    return {**others, **own}
