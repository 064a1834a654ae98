"""The authorization request, and the issuer of its response: RFC 6749, section 4.1; RFC 9207."""

from __future__ import annotations

import hmac
import typing as t

from .discovery import TENANT
from .errors import AuthorizationError


def request_params(
    client_id: str,
    redirect_uri: str | None,
    scope: str,
    params: t.Mapping[str, t.Any],
    *,
    client_id_param: str = "client_id",
) -> dict[str, t.Any]:
    """Return the parameters of an authorization request: RFC 6749, section 4.1.1.

    :param scope: the scopes as the provider wants them; ``""`` leaves the parameter out.
    :param params: added, in place of defaults of the same name (``response_type="code"``). None
        takes a default away.
    """
    return {
        "response_type": "code",
        client_id_param: client_id,
        "redirect_uri": redirect_uri,
        "scope": scope or None,
        **params,
    }


def check_issuer(
    iss: str | None,
    issuer: str,
    metadata: t.Mapping[str, t.Any],
    *,
    is_required: bool = False,
) -> None:
    """Check the ``iss`` of an authorization response: RFC 9207, section 2.4.

    :param issuer: the provider's issuer, as it is configured.
    :param metadata: the provider's metadata. Its issuer may be a template for any tenant.
    :param is_required: True to refuse a response that names none, whatever the metadata promise.
    :raises AuthorizationError: the response names another issuer, or none although the metadata
        promises one.
    """
    if iss is None:
        promised = metadata.get("authorization_response_iss_parameter_supported") is True
        if promised or is_required:
            who = f"The metadata of issuer={issuer!r} promises" if promised else "FAPI 2.0 requires"
            raise AuthorizationError(
                "invalid_issuer",
                "the response does not name its issuer",
                detail=f"{who} that it does.",
            )
        return
    template = str(metadata.get("issuer", issuer))
    prefix, placeholder, suffix = template.partition(TENANT)
    filled = placeholder and iss.startswith(prefix) and iss.endswith(suffix)
    if iss != issuer and not filled:
        slash = (
            " They differ in a slash at the end." if iss.rstrip("/") == issuer.rstrip("/") else ""
        )
        raise AuthorizationError(
            "invalid_issuer",
            "the response is from another provider",
            detail=f"Its iss is {iss[:200]!r}, and the option is issuer={issuer!r}.{slash}",
        )


def check_hmac(response: t.Mapping[str, str], secret: str | None) -> None:
    """Check the parameter ``hmac`` of an authorization response, as Shopify makes it.

    It is an HMAC with SHA-256 and the client's secret over the other parameters, in the order of
    their names.

    :raises AuthorizationError: it is missing, or the response has been changed.
    """
    pairs = sorted((name, value) for name, value in response.items() if name != "hmac")
    escaped = (f"{_escape(name).replace('=', '%3D')}={_escape(value)}" for name, value in pairs)
    right = hmac.new((secret or "").encode(), "&".join(escaped).encode(), "sha256").hexdigest()
    given = response.get("hmac", "").encode(errors="replace")
    if not secret or not hmac.compare_digest(given, right.encode()):
        raise AuthorizationError("invalid_request", "the answer has no hmac that fits it")


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("&", "%26")
