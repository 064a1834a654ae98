"""Signing in with another device: RFC 8628."""

from __future__ import annotations

import time
import typing as t

from ..protocol.errors import (
    AuthorizationError,
    ConfigurationError,
    ProviderError,
    ProviderUnavailableError,
    TokenError,
)
from ..protocol.scope import Scope, split_scope
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from .authorization_response import AuthorizationResponse

#: By how many seconds the provider's ``slow_down`` prolongs each wait: RFC 8628, section 3.5.
SLOW_DOWN = 5.0
#: Refusals that are about the person, and not about the request: section 3.5.
_OF_PEOPLE = frozenset({"access_denied", "expired_token"})


class DeviceLogin(AuthorizationResponse):
    """A handler's sign-in for programs that have no browser."""

    @without_locals
    def device_login(
        self,
        on_prompt: t.Callable[[str], t.Any] = print,
        *,
        scope: Scope = "",
        wait: t.Callable[[float], t.Any] = time.sleep,
        **params: t.Any,
    ) -> Token | None:
        """Sign somebody in with a browser on any device, such as for a command: RFC 8628.

        .. code-block:: python

            token = sso.device_login(scope="openid email")
            print(f"Hello, {token.identity.name}.")

        It asks the provider again and again, and returns when the person has consented. Show the
        prompt only to whoever runs the program: a person who is talked into entering somebody
        else's code gives access to their own account (section 5.4).

        :param on_prompt: called once with the sentence that says what to open and to enter.
        :param scope: scopes as a string with spaces between them, or as an iterable.
            :class:`OpenIDConnect` adds ``openid``.
        :param wait: called with the seconds to wait before each question. What it raises ends the
            sign-in.
        :param params: more parameters of the device authorization request, such as ``resource``.
        :returns: the token; :class:`OpenIDConnect` adds the identity of the validated ID token.
            None if the response is a success without content.
        :raises AuthorizationError: the person refused (``error`` is ``"access_denied"``), or the
            time is over (``"expired_token"``).
        :raises TokenError: the provider refused the program.
        :raises IDTokenError: a check of the ID token failed.
        :raises ConfigurationError: the provider has no ``device_authorization_url``.
        :raises ProviderError: the provider can't be reached, or its response can't be understood.
            Once the prompt is shown, an outage only makes the waits longer.
        """
        from ..protocol.device_authorization import GRANT_TYPE, request_device

        if not self.has_endpoint("device_authorization_url"):
            raise ConfigurationError(
                f"{self!r} has no device_authorization_url: give it, if the provider supports"
                " device authorization (RFC 8628).",
                row="device-login",
            )
        scopes = split_scope(scope)
        scopes = ["openid", *scopes] if self.openid and "openid" not in scopes else scopes
        members = {"scope": self.join_scope(scopes) or None, **self._resource_param(), **params}
        request = self._make_request("device_authorization_url", members)
        device = request_device(self.http_options, request, self._client_auth(), self.http_hosts)
        ends_at = time.monotonic() + device.expires_in
        on_prompt(device.prompt)
        question = {
            "grant_type": GRANT_TYPE,
            "device_code": device.device_code,
            **self._resource_param(),
        }
        # One key for all questions, of which one gets the token.
        prover = self.make_prover(None)
        key = prover.key if prover is not None else None
        interval = device.interval
        while time.monotonic() + interval < ends_at:
            wait(interval)
            try:
                token = self._request_token(dict(question), dpop_key=key)
            except TokenError as refusal:
                if refusal.error in _OF_PEOPLE:
                    raise AuthorizationError(
                        refusal.error, refusal.error_description, refusal.status_code
                    ) from None
                if refusal.error not in {"authorization_pending", "slow_down"}:
                    raise
                interval += SLOW_DOWN if refusal.error == "slow_down" else 0
            except ProviderUnavailableError as error:
                interval = max(interval * 2, _pause(error))
            else:
                return None if token is None else self._with_identity(token)
        raise AuthorizationError("expired_token", "nobody has entered the code in time")

    def _with_identity(self, token: Token) -> Token:
        """Return a token with what its ID token says, if the provider sends ID tokens."""
        return token


def _pause(error: ProviderError) -> float:
    return error.retry_after if isinstance(error.retry_after, int) else 0.0
