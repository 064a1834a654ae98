"""A handler's authorization requests: RFC 6749, section 4.1.1; RFC 9101; RFC 9126."""

from __future__ import annotations

import functools
import typing as t

from ..protocol import authorization, urls
from ..protocol.algorithms import FAPI_ALGORITHMS
from ..protocol.errors import ConfigurationError
from ..protocol.pushed_request import push
from ..protocol.scope import Scope, split_scope
from ..protocol.tracebacks import without_locals
from .option_values import refuse_signed_mode
from .token_endpoint import TokenEndpoint

if t.TYPE_CHECKING:
    from ..protocol.private_keys import PrivateKey

#: Parameters that stand for a whole request.
_WHOLE = frozenset({"request", "request_uri"})


class AuthorizationEndpoint(TokenEndpoint):
    """A handler's requests to the authorization endpoint, which a browser carries there."""

    redirect_uri: str | None

    @without_locals
    def authorize_url(
        self, /, scope: Scope = "", *, dpop_key: t.Any = None, **params: t.Any
    ) -> str:
        """Return the URL of an authorization request, to redirect the browser to.

        With the option ``par``, the request is pushed to the provider first (RFC 9126). The URL
        then serves once, and for a minute or so. With ``jar`` it is signed (RFC 9101).

        :param scope: scopes as a string with spaces between them, or as an iterable.
        :param dpop_key: the login's key, if the code is to be bound to it (RFC 9449, section 10).
            ``OAuth2Login`` makes one. Without it the tokens alone are bound.
        :param params: more parameters, such as ``state``. They replace defaults of the same name
            (``response_type="code"``, ``redirect_uri``, …). None removes a default. A mapping, or a
            list of mappings, is sent as JSON.
        :raises ConfigurationError: ``authorization_url`` is a path, and there is no ``site``.
        :raises TokenError: the provider refused the request that was pushed.
        :raises ProviderError: the metadata can't be fetched, or the request can't be pushed.
        """
        if self.redirect_name:
            params["redirect_uri"] = self.redirect_name
        fixed = dict(self.authorize_params)
        scopes = [*split_scope(scope), *split_scope(fixed.pop("scope", None))]
        query = authorization.request_params(
            self.client_id,
            self.redirect_uri,
            self.join_scope(scopes),
            {**self._default_params(), **self._code_binding(dpop_key), **fixed, **params},
            client_id_param=self.client_id_param,
        )
        if self.profile is not None:
            self._check_allowed(query)
        is_pushed = self.pushes_requests()
        if is_pushed or self.jar:
            _refuse_whole(query)

        def make_query() -> dict[str, t.Any]:
            return self._sign(query, is_pushed=is_pushed) if self.jar else query

        carried = self._push(make_query, dpop_key) if is_pushed else make_query()
        return urls.add_params(self.endpoint("authorization_url"), carried)

    def _default_params(self) -> dict[str, t.Any]:
        """Return the parameters that the handler's options ask for."""
        return {
            "response_mode": self.response_mode,
            "authorization_details": self.authorization_details or None,
            **self._resource_param(),
        }

    def _resource_param(self) -> dict[str, t.Any]:
        """Return the parameter that names the resources of a token: RFC 8707, section 2."""
        return {"resource": self.resource} if self.resource else {}

    def pushes_requests(self) -> bool:
        """Return True if authorization requests are pushed: by the option, or the metadata.

        :raises ProviderError: the metadata can't be fetched.
        """
        if self.par is not None or self.issuer is None:
            return bool(self.par)
        # RFC 9126, section 5.
        return self.metadata.get("require_pushed_authorization_requests") is True

    def _sign(self, params: t.Mapping[str, t.Any], *, is_pushed: bool) -> dict[str, t.Any]:
        """Return the parameters of a request that is signed: RFC 9101, section 5.

        :raises ConfigurationError: the provider accepts no algorithm of the client's keys.
        :raises ProviderError: the metadata can't be fetched.
        """
        from ..protocol.private_keys import sign_jwt
        from ..protocol.request_object import TYPE, make_request_object

        key, algorithm = self.find_request_signer()
        sign = functools.partial(sign_jwt, key, algorithm, typ=TYPE)
        request = make_request_object(self.client_id, str(self.issuer), params, sign)
        # OpenID Connect Core, section 6.1, wants these beside it. A request that is pushed is not
        # read by that rule: RFC 9126, section 3.
        names = (self.client_id_param, *(("response_type", "scope") if self.openid else ()))
        beside = {name: params[name] for name in (names[:1] if is_pushed else names)}
        return {**beside, "request": request}

    def find_request_signer(self) -> tuple[PrivateKey, str]:
        """Return the key that signs authorization requests, and its algorithm.

        :raises ConfigurationError: the provider accepts no algorithm of the client's keys.
        :raises ProviderError: the metadata can't be fetched.
        """
        listed = self.metadata.get("request_object_signing_alg_values_supported")
        return self._find_signer(listed if isinstance(listed, list) else None)

    def _push(
        self, make_params: t.Callable[[], t.Mapping[str, t.Any]], dpop_key: t.Any
    ) -> dict[str, t.Any]:
        """Push a request, and return the parameters that the browser carries: RFC 9126, section 4.

        :param make_params: called for each try, because a signed request may serve only once.
        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response can't be understood.
        """
        request = self._make_request("par_url", {})
        # A key that is made later, by `get_token`, can't be known to the provider yet.
        is_key_known = dpop_key is not None or self.own_dpop_key is not None
        prover = self.make_prover(dpop_key) if is_key_known else None
        request_uri = push(self.http_options, request, self._client_auth(), make_params, prover)
        return {self.client_id_param: self.client_id, "request_uri": request_uri}

    def _check_requests(self) -> None:
        """Check the options of authorization requests.

        :raises ConfigurationError: an option needs another one, which is missing.
        """
        if self.par and not self.par_url and self.issuer is None:
            raise ConfigurationError(
                "par=True pushes authorization requests, which needs their endpoint: add par_url=…,"
                " or issuer=…, whose metadata have it.",
                row="pushed-request",
            )

        if self.jar and (self.issuer is None or not self.private_key):
            raise ConfigurationError(
                "jar=True signs authorization requests for an issuer: it needs issuer=…, and the"
                " client's private_key=….",
                row="signed-request",
            )
        if self.has_signed_responses and self.issuer is None:
            raise ConfigurationError(
                f"response_mode={self.response_mode!r} needs issuer=…, whose keys sign the"
                " answers.",
                row="signed-response",
            )
        refuse_signed_mode("authorize_params", self.authorize_params)

    def _check_profile(self) -> None:
        """Check the keys by the profile, and the parameters that are known already.

        :raises ConfigurationError: the profile forbids one of them.
        """
        self._check_allowed({"redirect_uri": self.redirect_uri, **self.authorize_params})
        if self.private_key:
            self._find_signer(None)
        own = self.own_dpop_key
        if own is not None and own.private.algorithms[0] not in FAPI_ALGORITHMS:
            raise ConfigurationError(
                f"profile={self.profile!r} allows proofs by {', '.join(FAPI_ALGORITHMS)}, and the"
                f" key of dpop= signs by {own.private.algorithms[0]}: give it another, or True.",
                row="profile",
            )

    def _check_allowed(self, params: t.Mapping[str, t.Any]) -> None:
        """Check what a profile forbids of the parameters of a request.

        :raises ConfigurationError: it forbids one of them.
        """
        only = {"response_type": "code"}
        if self.has_signed_responses:
            only["response_mode"] = str(self.response_mode)
        for name, value in only.items():
            if params.get(name, value) != value:
                raise ConfigurationError(
                    f"profile={self.profile!r} has {name}={value!r} alone: leave it out of"
                    " authorize_params and of authorize_url(…).",
                    row="profile",
                )
        redirect_uri = params.get("redirect_uri")
        is_loopback = urls.is_loopback_http(redirect_uri or "")
        if redirect_uri and not (redirect_uri.startswith("https:") or is_loopback):
            raise ConfigurationError(
                f"profile={self.profile!r} forbids the redirect URI {redirect_uri!r}, which is not"
                " https. If a proxy ends TLS in front of the app, let the app read its headers by"
                " ProxyFix; or set PREFERRED_URL_SCHEME='https', or the handler's redirect_uri.",
                row="profile",
            )

    def join_scope(self, scope: Scope) -> str:
        """Return scopes as a string, each once, separated as this provider wants it."""
        return self.scope_separator.join(split_scope(scope))


def _refuse_whole(params: t.Mapping[str, t.Any]) -> None:
    """Check that a request that is pushed or signed names no other request.

    :raises ConfigurationError: it does.
    """
    if given := sorted(name for name in _WHOLE & params.keys() if params[name] is not None):
        raise ConfigurationError(
            f"An authorization request that is pushed or signed can't have {' and '.join(given)}:"
            " leave it out of authorize_params and of authorize_url(…).",
            row="pushed-request",
        )
