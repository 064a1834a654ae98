"""Client authentication at the token endpoint: RFC 6749, section 2.3.

Each method is a function that changes a :class:`TokenRequest`. A method that is missing here
(``private_key_jwt``, mutual TLS) can be given as ``OAuth2(…, client_auth=function)``.
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

    A client authentication function may change ``url``, ``params``, ``headers`` and ``cert``:

    .. code-block:: python

        def signed_assertion(request):
            request.params["client_assertion_type"] = "urn:…:jwt-bearer"
            request.params["client_assertion"] = sign(request.client_id, audience=request.url)

        OAuth2(client_id, client_secret, client_auth=signed_assertion)
    """

    #: The absolute URL of the endpoint.
    url: str
    #: The parameters of the body. A value of None has been left out already.
    params: dict[str, t.Any] = dataclasses.field(repr=False)
    #: The client's identifier, as it is registered with the provider.
    client_id: str
    #: The client's secret; None for a public client.
    client_secret: str | None = dataclasses.field(repr=False)
    #: The provider's name for the parameter ``client_id``.
    client_id_param: str = "client_id"
    #: The headers of the request.
    headers: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    #: As in requests: the path of a client certificate, or the paths of it and of its key. None
    #: means that of the handler, if it has one.
    cert: str | tuple[str, str] | None = None


ClientAuth = t.Callable[[TokenRequest], None]


def basic_credentials(client_id: str, client_secret: str | None) -> str:
    """Return the value that follows ``Basic`` in the ``Authorization`` header."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret or '')}"
    return b64encode(pair.encode()).decode()


def client_secret_basic(request: TokenRequest) -> None:
    """Send id and secret by HTTP Basic, form-encoded first: RFC 6749, section 2.3.1."""
    credentials = basic_credentials(request.client_id, request.client_secret)
    request.headers["Authorization"] = f"Basic {credentials}"


def client_secret_post(request: TokenRequest) -> None:
    """Send id and secret as parameters: RFC 6749, section 2.3.1."""
    request.params[request.client_id_param] = request.client_id
    request.params["client_secret"] = request.client_secret


def no_client_auth(request: TokenRequest) -> None:
    """Send the id alone, as a public client does: RFC 6749, section 3.2.1."""
    request.params[request.client_id_param] = request.client_id


#: The methods that need a secret. A client without one uses :func:`no_client_auth` instead.
SECRET_AUTHS = frozenset({client_secret_basic, client_secret_post})

#: The methods by their names in provider metadata (``token_endpoint_auth_methods_supported``, RFC
#: 8414), in presets and in the option ``client_auth``.
CLIENT_AUTHS: t.Mapping[str, ClientAuth] = {
    "client_secret_basic": client_secret_basic,
    "client_secret_post": client_secret_post,
    "none": no_client_auth,
}


def auth_name(method: ClientAuth) -> str:
    """Return a method's name in the option ``client_auth``; of a function, its own."""
    names = (name for name, known in CLIENT_AUTHS.items() if known is method)
    return next(names, None) or str(getattr(method, "__qualname__", type(method).__qualname__))


def client_refused(client_id: str, method: ClientAuth) -> str:
    """Return a sentence that says how the client authenticated, and what may be wrong."""
    sentence = (
        f"The client {client_id!r} authenticated with client_auth={auth_name(method)!r}: compare"
        " client_id, client_secret and client_auth with the registration."
    )
    if method is client_secret_basic:
        sentence += (
            " Some providers do not decode Basic credentials with special characters:"
            " try client_auth='client_secret_post'."
        )
    return sentence


def find_client_auth(method: str | ClientAuth) -> ClientAuth:
    """Return the function for a method's name. A function is returned as it is.

    :raises ConfigurationError: there is no method of that name.
    """
    if callable(method):
        return method
    try:
        return CLIENT_AUTHS[method]
    except (KeyError, TypeError):
        raise ConfigurationError(
            f"client_auth={method!r} is not known. Use one of {', '.join(CLIENT_AUTHS)},"
            " or a function that takes a TokenRequest.",
            row="client-auth",
        ) from None
