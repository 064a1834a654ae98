"""The device authorization endpoint."""

from __future__ import annotations

import typing as t

from .messages import Answer, Request
from .settings import Settings
from .tokens import answer, read_client


def authorize_device(settings: Settings, request: Request) -> Answer:
    """RFC 8628, section 3.1."""

    def handle() -> dict[str, t.Any]:
        params = read_client(settings, request)
        device_code, user_code = settings.grants.add_device(params.get("scope", ""))
        uri = f"{settings.url}/enter"
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={user_code}",
            "expires_in": 600,
            "interval": 2,
        }

    return answer(request, handle)
