"""How a handler authenticates its client: by a secret, a private key, or a certificate."""

from __future__ import annotations

import functools
import typing as t

from ..protocol import client_auth, urls
from ..protocol.algorithms import FAPI_ALGORITHMS
from ..protocol.client_assertion import WITH_SECRET, Sign, make_assertion, sign_with_secret
from ..protocol.client_auth import ClientAuth
from ..protocol.discovery import ENDPOINTS
from ..protocol.errors import ConfigurationError
from .metadata import MetadataEndpoints

if t.TYPE_CHECKING:
    from ..protocol.private_keys import PrivateKey

#: The methods that send no assertion. A private key may be there for signed requests alone.
_WITHOUT_ASSERTION = frozenset({*client_auth.SECRET_AUTHS, client_auth.no_client_auth})


class ClientCredentials(MetadataEndpoints):
    """A handler's client: its id, and what it authenticates with."""

    client_id: str
    #: The client's private keys that decrypt what the provider encrypts for it, the newest first.
    decryption_keys: tuple[PrivateKey, ...] = ()

    def check_client_auth(self) -> None:
        """Check that the client has what it is to authenticate with.

        :raises ConfigurationError: it has not.
        """
        method = self.client_auth
        if method is client_auth.private_key_jwt and not self.private_key:
            raise ConfigurationError(
                "client_auth='private_key_jwt' needs the client's private key:"
                " private_key='key.pem'. `flask oauth2 new-key NAME` makes one.",
                row="private-key",
            )
        if method is client_auth.client_secret_jwt and not self.client_secret:
            raise ConfigurationError(
                "client_auth='client_secret_jwt' needs the client's secret, which signs the"
                " assertions.",
                row="client-auth",
            )
        if method in client_auth.TLS_AUTHS and self.cert is None:
            raise ConfigurationError(
                f"client_auth={client_auth.auth_name(method)!r} needs the client's certificate and"
                " its key: cert=('client.pem', 'client.key').",
                row="client-auth",
            )
        if self.assertion_algorithm is not None:
            if method is client_auth.client_secret_jwt:
                raise ConfigurationError(
                    f"assertion_algorithm={self.assertion_algorithm!r} is for a private_key. An"
                    f" assertion with the client's secret is signed by {WITH_SECRET}.",
                    row="private-key",
                )
            if self.private_key:
                self._find_signer([self.assertion_algorithm])

    def _client_auth(self) -> ClientAuth:
        """Return how the client authenticates: by the option, or else as the metadata say."""
        if not self.client_secret and self.client_auth in {None, *client_auth.SECRET_AUTHS}:
            return client_auth.private_key_jwt if self.private_key else client_auth.no_client_auth
        if self.client_auth is not None or self.issuer is None:
            return self.client_auth or client_auth.client_secret_post
        # The default is Basic: RFC 8414, section 2; Core, section 9.
        methods = self.metadata.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            return client_auth.client_secret_post
        return client_auth.client_secret_basic

    @property
    def client_auth_name(self) -> str:
        """The name of the method by which the client authenticates.

        :raises ProviderError: the metadata can't be fetched.
        """
        return client_auth.auth_name(self._client_auth())

    def public_keys(self) -> list[dict[str, t.Any]]:
        """Return the client's public keys, as they stand in its key set: RFC 7517, section 5."""
        signing = [{"use": "sig", **key.public_jwk} for key in self.private_key]
        return [*signing, *({"use": "enc", **key.public_jwk} for key in self.decryption_keys)]

    def _assertion_maker(self) -> t.Callable[[], str] | None:
        """Return a function that makes a new assertion; None if the client makes none.

        :raises ConfigurationError: the provider accepts no algorithm of the client's keys.
        :raises ProviderError: the metadata can't be fetched.
        """
        sign: Sign
        if self.client_auth is client_auth.client_secret_jwt:
            sign = functools.partial(sign_with_secret, self.client_secret or "")
        elif self.private_key and self._client_auth() not in _WITHOUT_ASSERTION:
            from ..protocol.private_keys import sign_jwt

            sign = functools.partial(sign_jwt, *self.find_assertion_signer(), typ="JWT")
        else:
            return None
        return functools.partial(make_assertion, self.client_id, self._assertion_audience(), sign)

    def find_assertion_signer(self) -> tuple[PrivateKey, str]:
        """Return the key that signs assertions, and its algorithm.

        :raises ConfigurationError: the provider accepts no algorithm of the client's keys.
        :raises ProviderError: the metadata can't be fetched.
        """
        if self.assertion_algorithm is not None:
            return self._find_signer([self.assertion_algorithm])
        listed = self.metadata.get("token_endpoint_auth_signing_alg_values_supported")
        return self._find_signer(listed if isinstance(listed, list) else None)

    def _find_signer(self, accepted: list[t.Any] | None) -> tuple[PrivateKey, str]:
        from ..protocol.private_keys import find_signer

        if self.profile is not None:
            accepted = self.allowed(accepted or ())
        return find_signer("private_key", self.private_key, accepted)

    def allowed(self, algorithms: t.Collection[str]) -> list[str]:
        """Return those of the provider's algorithms that the profile allows, if there is one.

        If it allows none of them, return all that it allows.
        """
        if self.profile is None:
            return list(algorithms)
        both = [algorithm for algorithm in FAPI_ALGORITHMS if algorithm in algorithms]
        return both or list(FAPI_ALGORITHMS)

    def _assertion_audience(self) -> str:
        given = self.assertion_audience
        if given is None and self.issuer is not None:
            return self.issuer
        if given in {None, "token_url"}:
            # As the provider itself names it, also if this server reaches it by another name.
            own = urls.join(self.site, self.token_url) if self.token_url else ""
            return own or str(self.metadata.get(ENDPOINTS["token_url"]))
        return str(given)
