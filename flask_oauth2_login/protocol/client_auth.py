"""How a client proves to the token endpoint who it is: RFC 6749, section 2.3.

A way to do so is a function on the token request. Another one (``private_key_jwt``, mutual TLS)
is another such function, given as ``OAuth2(…, client_auth=function)``.
"""

from __future__ import annotations

import dataclasses
import typing as t
from base64 import b64encode
from urllib.parse import quote_plus

from .errors import ConfigurationError


@dataclasses.dataclass
class TokenRequest:
    """A request to the token or revocation endpoint, before it is sent.

    A client authentication may change everything but the credentials.
    """

    url: str
    params: dict[str, t.Any] = dataclasses.field(repr=False)
    client_id: str
    client_secret: str | None = dataclasses.field(repr=False)
    client_id_param: str = "client_id"
    headers: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    cert: str | tuple[str, str] | None = None


ClientAuth = t.Callable[[TokenRequest], None]


def basic_credentials(client_id: str, client_secret: str | None) -> str:
    """What follows ``Basic`` in the header."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret or '')}"
    return b64encode(pair.encode()).decode()


def client_secret_basic(request: TokenRequest) -> None:
    """HTTP Basic, with id and secret form-encoded first (RFC 6749, section 2.3.1)."""
    credentials = basic_credentials(request.client_id, request.client_secret)
    request.headers["Authorization"] = f"Basic {credentials}"


def client_secret_post(request: TokenRequest) -> None:
    """Id and secret as parameters of the request (RFC 6749, section 2.3.1)."""
    request.params[request.client_id_param] = request.client_id
    request.params["client_secret"] = request.client_secret


def no_client_auth(request: TokenRequest) -> None:
    """A public client: the id alone (RFC 6749, section 3.2.1)."""
    request.params[request.client_id_param] = request.client_id


#: Those that prove nothing without a secret: a public client has none.
SECRET_AUTHS = frozenset({client_secret_basic, client_secret_post})

#: The names in provider metadata (RFC 8414, ``token_endpoint_auth_methods_supported``) and presets.
CLIENT_AUTHS: t.Mapping[str, ClientAuth] = {
    "client_secret_basic": client_secret_basic,
    "client_secret_post": client_secret_post,
    "none": no_client_auth,
}


def find_client_auth(method: str | ClientAuth) -> ClientAuth:
    """The function for a method's name; a function is its own."""
    if callable(method):
        return method
    try:
        return CLIENT_AUTHS[method]
    except KeyError:
        raise ConfigurationError(
            f"client_auth={method!r} is not known. Use one of {', '.join(CLIENT_AUTHS)},"
            " or a function that takes a TokenRequest."
        ) from None
