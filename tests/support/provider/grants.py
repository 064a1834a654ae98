"""What a provider remembers: codes, tokens, and who gave them."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
import typing as t

from .signing import encode

#: Seconds that a code lives.
CODE_LIFETIME = 60

Claims = dict[str, t.Any]


class Refusal(Exception):
    """An OAuth error: RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description
        self.status = status


@dataclasses.dataclass(eq=False)
class Grant:
    """One consent: the family of all tokens that come of it."""

    person: Claims
    scope: str
    auth_time: int
    nonce: str | None = None
    acr: str | None = None
    #: RFC 9396.
    authorization_details: list[t.Any] | None = None
    #: Those that it is for: RFC 8707. Empty for any.
    resources: list[str] = dataclasses.field(default_factory=list)
    sid: str = dataclasses.field(default_factory=lambda: secrets.token_hex(8))
    revoked: bool = False
    #: The thumbprint of the key that its code or its tokens are bound to.
    jkt: str | None = None
    #: How often a code or refresh token of it was used that had been used before.
    reused: int = 0

    @property
    def sub(self) -> str:
        return str(self.person["sub"])


@dataclasses.dataclass(eq=False)
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str | None
    expires_at: float
    used: bool = False


@dataclasses.dataclass(eq=False)
class AccessToken:
    """An access token that was issued."""

    value: str
    grant: Grant
    scope: str
    #: Unix seconds; None for never.
    expires_at: float | None
    revoked: bool = False
    #: The thumbprint of the key that it is bound to.
    jkt: str | None = None

    @property
    def alive(self) -> bool:
        fresh = self.expires_at is None or time.time() < self.expires_at
        return fresh and not self.revoked and not self.grant.revoked


@dataclasses.dataclass(eq=False)
class _RefreshToken:
    grant: Grant
    spent: bool = False


@dataclasses.dataclass(eq=False)
class _Device:
    scope: str
    user_code: str
    #: None as long as nobody has decided; False if somebody refused.
    decision: Grant | bool | None = None


class Grants:
    """All of them. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, _RefreshToken] = {}
        self._devices: dict[str, _Device] = {}
        #: In the order of the consents.
        self.all: list[Grant] = []

    def add_code(self, grant: Grant, redirect_uri: str, challenge: str | None) -> str:
        code = secrets.token_urlsafe(24)
        with self._lock:
            self.all.append(grant)
            self._codes[code] = _Code(grant, redirect_uri, challenge, time.time() + CODE_LIFETIME)
        return code

    def redeem(
        self, value: str, redirect_uri: str | None, challenge: str | None, jkt: str | None = None
    ) -> Grant:
        """Use a code up: RFC 6749, section 4.1.3, and RFC 7636, section 4.6.

        :param challenge: what the verifier that came hashes to.
        :param jkt: the thumbprint of the key that the tokens are to be bound to.
        :raises Refusal: it is not this one's, or was used; then the family is revoked.
        """
        with self._lock:
            code = self._codes.get(value)
            if code is None or code.expires_at < time.time():
                raise Refusal("invalid_grant", "no such code")
            if code.used:
                code.grant.revoked = True
                code.grant.reused += 1
                raise Refusal("invalid_grant", "the code was used before")
            code.used = True
            if code.redirect_uri != redirect_uri:
                raise Refusal("invalid_grant", "another redirect_uri")
            if code.challenge != challenge:
                raise Refusal("invalid_grant", "another code_verifier")
            if code.grant.jkt not in {None, jkt}:
                raise Refusal("invalid_grant", "another key than dpop_jkt")
            code.grant.jkt = jkt
            return code.grant

    def renew(self, value: str, *, rotate: bool, jkt: str | None = None) -> Grant:
        """Use a refresh token; where they rotate, use it up.

        :param jkt: the thumbprint of the key of the request's proof.

        :raises Refusal: it is unknown, revoked, or spent; then the family is revoked.
        """
        with self._lock:
            token = self._refresh.get(value)
            if token is None or token.grant.revoked:
                raise Refusal("invalid_grant", "no such refresh token")
            if token.spent:
                token.grant.revoked = True
                token.grant.reused += 1
                raise Refusal("invalid_grant", "the refresh token was used before")
            if token.grant.jkt not in {None, jkt}:
                raise Refusal("invalid_grant", "another key")
            token.grant.jkt = jkt
            token.spent = rotate
            return token.grant

    def add_access(
        self, grant: Grant, scope: str, expires_in: float | None, size: int
    ) -> AccessToken:
        end = None if expires_in is None else time.time() + expires_in
        token = AccessToken(_random(size), grant, scope, end)
        with self._lock:
            self._access[token.value] = token
        return token

    def add_refresh(self, grant: Grant, size: int) -> str:
        value = _random(size)
        with self._lock:
            self._refresh[value] = _RefreshToken(grant)
        return value

    def add_device(self, scope: str) -> tuple[str, str]:
        """Issue a device code and a user code."""
        device_code, user_code = secrets.token_urlsafe(24), secrets.token_hex(4).upper()
        with self._lock:
            self._devices[device_code] = _Device(scope, user_code)
        return device_code, user_code

    def decide_device(self, user_code: str, person: Claims | None) -> None:
        """Somebody enters a user code, and consents; None is for one who refuses."""
        with self._lock:
            (device,) = (each for each in self._devices.values() if each.user_code == user_code)
            device.decision = False
            if person is not None:
                device.decision = Grant(person, device.scope, int(time.time()))
                self.all.append(device.decision)

    def redeem_device(self, device_code: str) -> Grant:
        """Use a device code: RFC 8628, section 3.5.

        :raises Refusal: nobody has consented.
        """
        with self._lock:
            device = self._devices.get(device_code)
            if device is None:
                raise Refusal("expired_token", "no such device code")
            if device.decision is None:
                raise Refusal("authorization_pending", "nobody has decided")
            del self._devices[device_code]
            if not isinstance(device.decision, Grant):
                raise Refusal("access_denied", "somebody refused")
            return device.decision

    def find_access(self, value: str | None) -> AccessToken | None:
        """An access token that is alive."""
        token = self._access.get(value or "")
        return token if token is not None and token.alive else None

    def revoke(self, value: str) -> None:
        """Revoke an access token, or a refresh token with its family: RFC 7009, section 2.1."""
        with self._lock:
            if value in self._refresh:
                self._refresh[value].grant.revoked = True
            elif value in self._access:
                self._access[value].revoked = True

    def expire_access(self) -> None:
        """Let all access tokens run out."""
        with self._lock:
            for token in self._access.values():
                token.revoked = True

    def revoke_all(self) -> None:
        """Let nothing count any more that was ever granted."""
        with self._lock:
            for grant in {*self.all, *(token.grant for token in self._access.values())}:
                grant.revoked = True


def _random(size: int) -> str:
    """Random characters of base64url, ``size`` of them."""
    return encode(secrets.token_bytes(size))[:size]
