"""Client authentication at the token endpoint: RFC 6749, section 2.3; RFC 7523; RFC 8705.

Each method is a function that changes a :class:`TokenRequest`. It is called anew for each try of a
request. A method that is missing here can be given as ``OAuth2(…, client_auth=function)``.
"""

from __future__ import annotations

import dataclasses
import typing as t
from base64 import b64encode

from .client_assertion import ASSERTION_TYPE, describe
from .errors import ConfigurationError
from .urls import quote_for_form


@dataclasses.dataclass
class TokenRequest:
    """A request to the token or revocation endpoint, before it is sent.

    A client authentication function may change ``url``, ``params``, ``headers`` and ``cert``:

    .. code-block:: python

        def secret_in_a_header(request):
            request.headers["X-Client-Secret"] = request.client_secret

        OAuth2(client_id, client_secret, client_auth=secret_in_a_header)
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
    #: Returns a new assertion of the client (RFC 7523), signed by its private key or its secret.
    #: None if the handler has no ``private_key``, and not ``client_auth="client_secret_jwt"``.
    make_assertion: t.Callable[[], str] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )


ClientAuth = t.Callable[[TokenRequest], None]


def basic_credentials(client_id: str, client_secret: str | None) -> str:
    """Return the value that follows ``Basic`` in the ``Authorization`` header."""
    pair = f"{quote_for_form(client_id)}:{quote_for_form(client_secret or '')}"
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


def private_key_jwt(request: TokenRequest) -> None:
    """Send the id and an assertion that the client's private key signs: RFC 7523, section 2.2."""
    _add_assertion(request)


def client_secret_jwt(request: TokenRequest) -> None:
    """Send the id and an assertion that is signed with the client's secret: RFC 7523."""
    _add_assertion(request)


def _add_assertion(request: TokenRequest) -> None:
    if request.make_assertion is None:
        raise ConfigurationError(
            "This request needs an assertion: give the handler a private_key.", row="private-key"
        )
    request.params[request.client_id_param] = request.client_id
    request.params["client_assertion_type"] = ASSERTION_TYPE
    request.params["client_assertion"] = request.make_assertion()


def tls_client_auth(request: TokenRequest) -> None:
    """Send the id beside a certificate whose authority the server knows: RFC 8705, section 2.1."""
    request.params[request.client_id_param] = request.client_id


def self_signed_tls_client_auth(request: TokenRequest) -> None:
    """Send the id beside a certificate that is registered itself: RFC 8705, section 2.2."""
    request.params[request.client_id_param] = request.client_id


#: The methods that need a secret. A client without one uses :func:`no_client_auth` instead.
SECRET_AUTHS = frozenset({client_secret_basic, client_secret_post})

#: The methods by which the client's certificate authenticates it: RFC 8705, section 2.
TLS_AUTHS = frozenset({tls_client_auth, self_signed_tls_client_auth})

#: The methods by their names in provider metadata (``token_endpoint_auth_methods_supported``, RFC
#: 8414), in presets and in the option ``client_auth``.
CLIENT_AUTHS: t.Mapping[str, ClientAuth] = {
    "client_secret_basic": client_secret_basic,
    "client_secret_post": client_secret_post,
    "private_key_jwt": private_key_jwt,
    "client_secret_jwt": client_secret_jwt,
    "tls_client_auth": tls_client_auth,
    "self_signed_tls_client_auth": self_signed_tls_client_auth,
    "none": no_client_auth,
}


def auth_name(method: ClientAuth) -> str:
    """Return a method's name in the option ``client_auth``; of a function, its own."""
    names = (name for name, known in CLIENT_AUTHS.items() if known is method)
    return next(names, None) or str(getattr(method, "__qualname__", type(method).__qualname__))


def client_refused(request: TokenRequest, method: ClientAuth) -> str:
    """Return sentences that say how the client authenticated, and what may be wrong.

    :param request: a request that ``method`` has changed.
    """
    client = f"The client {request.client_id!r} authenticated with"
    client += f" client_auth={auth_name(method)!r}"
    assertion = request.params.get("client_assertion")
    if method in {private_key_jwt, client_secret_jwt} and isinstance(assertion, str):
        registered = (
            "is this key registered, or has the provider fetched it from the login's jwks.json?"
            if method is private_key_jwt
            else "is this its secret?"
        )
        return (
            f"{client}: {describe(assertion)}. Compare them with the registration: {registered}"
            " Does it want this algorithm (assertion_algorithm=) and this audience"
            " (assertion_audience=)? Do the clocks of both machines agree?"
        )
    if method in TLS_AUTHS:
        return (
            f"{client}: compare client_id with the registration, and its certificate or the"
            " certificate's subject with the file of cert=. Does the request reach the provider"
            " without a proxy that ends TLS?"
        )
    sentence = f"{client}: compare client_id, client_secret and client_auth with the registration."
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
