"""Dynamic registration of a client: RFC 7591; OpenID Connect Dynamic Client Registration 1.0."""

from __future__ import annotations

import typing as t

from . import http
from .errors import ProviderAnswerError, RegistrationRefusedError
from .http_options import HTTPOptions
from .json_input import names_of
from .refusal import find_reason
from .token import find_refusal

#: Members that are secrets.
_SECRETS = ("client_secret", "registration_access_token")

#: What to do about the errors of RFC 7591, section 3.2.2, and RFC 6750, section 3.1.
_FIXES = {
    "invalid_redirect_uri": "It does not accept one of redirect_uris: give the callback of the"
    " login, https://<host><url_prefix>/callback.",
    "invalid_client_metadata": "It does not accept one of the members that were sent, {names}:"
    " leave out the one that the provider names, or give it another value.",
    "invalid_software_statement": "Ask the provider for another software_statement.",
    "unapproved_software_statement": "Ask the provider to approve the software_statement.",
    "invalid_token": "Registering needs a token of this provider that is valid:"
    " initial_access_token=….",
}


class RegisteredClient(dict[str, t.Any]):
    """What a provider says of the client that it has registered: RFC 7591, section 3.2.1.

    A dictionary to keep as a whole, as JSON and in secret: ``client_id``; ``client_secret``, if it
    has one, and ``client_secret_expires_at`` (Unix seconds, 0 for never);
    ``registration_access_token`` and ``registration_client_uri``, if the registration can be
    changed (RFC 7592); and the metadata as the provider has registered them.

    The ``repr()`` shows no secrets.
    """

    def __repr__(self) -> str:
        return f"<RegisteredClient {self.get('client_id')!r} with {names_of(self)}>"

    __str__ = __repr__

    def copy(self) -> RegisteredClient:
        """Return a copy, whose repr shows no secrets either."""
        return RegisteredClient(self)


def register_client(
    options: HTTPOptions,
    url: str,
    metadata: t.Mapping[str, t.Any],
    *,
    initial_access_token: str | None = None,
) -> RegisteredClient:
    """Send a registration request once, and read the response: RFC 7591, section 3.

    :param url: the registration endpoint.
    :param metadata: the client's metadata.
    :param initial_access_token: authorizes the request, if the provider wants that.
    :raises RegistrationRefusedError: the provider refused.
    :raises ProviderError: the provider can't be reached, or its response can't be understood.
    """
    headers = {"Accept": "application/json"}
    if initial_access_token is not None:
        headers["Authorization"] = f"Bearer {initial_access_token}"
    response = http.send(options, "POST", url, headers=headers, json=dict(metadata))
    response.require_in_order("The registration endpoint")
    members = response.json_object() or {}
    refusal = find_refusal(members, response.status, [initial_access_token or ""])
    error = refusal.error if refusal else None
    if response.status in {401, 403} and error not in _FIXES:
        error = "invalid_token"
    if error is not None:
        fix = _FIXES.get(error, "").format(names=names_of(metadata))
        description = refusal.error_description if refusal else None
        raise RegistrationRefusedError(error, description, response.status, detail=fix)
    client_id = members.get("client_id")
    is_text = isinstance(client_id, str) and bool(client_id)
    if response.status not in {200, 201} or not is_text or not _are_texts(members):
        reason = find_reason(members, response.status) or "no client_id"
        raise ProviderAnswerError(
            f"The registration endpoint answered with {response.outcome}: {reason[:200]}."
        )
    return RegisteredClient(members)


def _are_texts(members: t.Mapping[str, t.Any]) -> bool:
    return all(isinstance(members.get(name), str | None) for name in _SECRETS)
