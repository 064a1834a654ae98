"""Device authorization requests and their answers: RFC 8628, sections 3.1 and 3.2."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from . import urls
from .client_auth import ClientAuth, TokenRequest
from .errors import ProviderAnswerError
from .http_options import HTTPOptions
from .json_input import to_one_line
from .token import find_refusal
from .token_request import explain_refusal, secrets_in, send

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"

#: The seconds between two questions, if the provider does not say: RFC 8628, section 3.2.
INTERVAL = 5.0
#: The fewest seconds between two questions, whatever the provider says.
MIN_INTERVAL = 1.0
#: The most seconds that a sign-in may take, whatever the provider says.
MOST_SECONDS = 86_400.0


@dataclasses.dataclass(frozen=True)
class DeviceAuthorization:
    """What a person is to do, and how to ask whether they have done it."""

    device_code: str = dataclasses.field(repr=False)
    #: What the person types in.
    user_code: str
    #: Where they type it in.
    verification_uri: str
    #: Where it is filled in already; None if there is no such page.
    verification_uri_complete: str | None
    #: The seconds in which they have to do it.
    expires_in: float
    #: The seconds between two questions.
    interval: float

    @property
    def prompt(self) -> str:
        """What the person is to do, as a sentence: section 3.3."""
        if self.verification_uri_complete:
            return (
                f"To sign in, open {self.verification_uri_complete} and check that it shows the"
                f" code {self.user_code}."
            )
        return f"To sign in, open {self.verification_uri} and enter the code {self.user_code}."


def request_device(
    options: HTTPOptions,
    request: TokenRequest,
    client_auth: ClientAuth,
    http_hosts: t.Collection[str] = (),
) -> DeviceAuthorization:
    """Send a device authorization request once, and read the response.

    :param http_hosts: hosts that people may be sent to by plain http.
    :raises TokenError: the provider refused.
    :raises ProviderError: the provider can't be reached, or its response can't be understood.
    """
    response = send(options, request, client_auth)
    response.require_in_order("The device authorization endpoint")
    members = response.json_object() or {}
    if refusal := find_refusal(members, response.status, secrets_in(request)):
        raise explain_refusal(refusal, request, client_auth)
    # Google's name is that of a draft.
    uri = _text(members, "verification_uri") or _text(members, "verification_url")
    complete = _text(members, "verification_uri_complete")
    device_code, user_code = _text(members, "device_code"), _text(members, "user_code")
    expires_in = _seconds(members.get("expires_in"))
    if not (device_code and user_code and uri and expires_in and response.status == 200):
        raise ProviderAnswerError(
            f"The device authorization endpoint answered with {response.outcome} and no device"
            " code: is device_authorization_url right?"
        )
    for url in filter(None, (uri, complete)):
        if not urls.is_secure_url(url, http_hosts):
            raise ProviderAnswerError(
                "The device authorization endpoint sends people to a URL that is not https:"
                f" {to_one_line(url)[:200]}."
            )
    interval = _seconds(members.get("interval"))
    interval = INTERVAL if interval is None else max(interval, MIN_INTERVAL)
    # The texts go to a terminal.
    return DeviceAuthorization(
        device_code, to_one_line(user_code), to_one_line(uri),
        to_one_line(complete) if complete else None, expires_in, interval,
    )  # fmt: skip


def _text(members: t.Mapping[str, t.Any], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None


def _seconds(value: t.Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(float(value), MOST_SECONDS) if is_number and 0 <= value < math.inf else None
