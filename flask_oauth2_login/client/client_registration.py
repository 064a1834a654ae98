"""Registering a client with an OpenID Provider: RFC 7591."""

from __future__ import annotations

import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError
from ..protocol.http_options import Timeout
from ..protocol.tracebacks import without_locals
from .option_values import list_of
from .verification import Verification

if t.TYPE_CHECKING:
    from ..protocol.client_registration import RegisteredClient


class ClientRegistration(Verification):
    """The registration of clients, for which there is no handler yet."""

    @classmethod
    @without_locals
    def register_client(
        cls,
        issuer: str,
        *,
        redirect_uris: t.Iterable[str],
        client_name: str | None = None,
        initial_access_token: str | None = None,
        http_hosts: t.Iterable[str] = (),
        timeout: Timeout = (5.0, 15.0),
        verify: bool | str | None = None,
        **metadata: t.Any,
    ) -> RegisteredClient:
        """Register a new client with a provider that lets programs do so: RFC 7591.

        .. code-block:: python

            client = OpenIDConnect.register_client(
                "https://sso.example.com",
                redirect_uris=["https://app.example/sso/callback"],
                client_name="Example App",
            )
            sso = OpenIDConnect(client["client_id"], client.get("client_secret"), client["issuer"])

        Each call registers a further client: call it once, and keep what it returns.

        :param issuer: the provider's issuer, exactly as the provider writes it.
        :param redirect_uris: the URLs of the login's callback.
        :param client_name: what people read when they are asked to consent.
        :param initial_access_token: a token of the provider that allows to register clients, if it
            wants one.
        :param http_hosts: as the option of :class:`OAuth2`; ``timeout`` and ``verify``, too.
        :param metadata: more members of the registration (section 2), such as ``jwks_uri``,
            ``token_endpoint_auth_method``, ``post_logout_redirect_uris``, ``scope``. They replace
            defaults of the same name; None removes one.
        :returns: a dictionary with all that the provider answers, and ``issuer``. Its repr shows no
            secrets.
        :raises TokenError: the provider refused. ``error`` is ``"invalid_redirect_uri"``,
            ``"invalid_client_metadata"``, ``"invalid_token"`` for a wrong or missing
            ``initial_access_token``, or another word of the provider.
        :raises ConfigurationError: the provider does not register clients, or a URL is not https.
        :raises ProviderError: the provider can't be reached, or its response can't be understood.
        """
        from ..protocol.client_registration import register_client

        # This handler only finds the endpoint, so its client does not matter.
        asking: t.Any = cls
        handler: ClientRegistration = asking(
            "none", None, issuer, http_hosts=http_hosts, timeout=timeout, verify=verify
        )
        members = {
            **_default_metadata(handler.metadata),
            "redirect_uris": _redirect_uris(redirect_uris, handler.http_hosts),
            "client_name": client_name,
            **metadata,
        }
        url = handler.metadata.get("registration_endpoint")
        if not url:
            raise ConfigurationError(
                f"The metadata of {issuer} have no registration_endpoint: register the client in"
                " the provider's console.",
                row="client-registration",
            )
        client = register_client(
            handler.http_options,
            urls.require_https(str(url), "registration_endpoint", handler.http_hosts),
            {name: value for name, value in members.items() if value is not None},
            initial_access_token=initial_access_token,
        )
        client["issuer"] = issuer
        return client


def _default_metadata(document: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the metadata of a client that signs people in, as far as the provider supports it."""
    # By default, a handler authenticates so.
    methods = document.get("token_endpoint_auth_methods_supported")
    is_listed = isinstance(methods, list) and "client_secret_basic" not in methods
    grants = document.get("grant_types_supported")
    refreshes = not isinstance(grants, list) or "refresh_token" in grants
    return {
        "response_types": ["code"],
        "grant_types": ["authorization_code", *(["refresh_token"] if refreshes else [])],
        "token_endpoint_auth_method": "client_secret_post" if is_listed else "client_secret_basic",
    }


def _redirect_uris(given: t.Iterable[str], http_hosts: t.Collection[str]) -> list[str]:
    found = list_of("redirect_uris", given)
    wrong = [url for url in found if not urls.is_secure_url(url, http_hosts) or "#" in url]
    if wrong or not found:
        raise ConfigurationError(
            f"redirect_uris={found!r} needs https URLs without a fragment, such as"
            " ['https://app.example/sso/callback'] (http for this machine only).",
            row="client-registration",
        )
    return found
