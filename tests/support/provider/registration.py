"""The registration endpoint."""

from __future__ import annotations

import secrets
import typing as t

from .grants import Refusal
from .messages import Answer, Request
from .settings import Settings
from .tokens import answer


def register(settings: Settings, request: Request) -> Answer:
    """RFC 7591, section 3: the new client takes the former one's place."""

    def handle() -> dict[str, t.Any]:
        if settings.initial_access_token not in {None, request.access_token()}:
            raise Refusal("invalid_token", "who are you?", 401)
        members = request.json
        if request.method != "POST" or not isinstance(members, dict):
            raise Refusal("invalid_client_metadata", "not a JSON object")
        if not all(uri.startswith("http") for uri in members.get("redirect_uris") or [""]):
            raise Refusal("invalid_redirect_uri", "no redirect_uris")
        if members.get("token_endpoint_auth_method") not in settings.client_auth_methods:
            raise Refusal("invalid_client_metadata", "token_endpoint_auth_method is not supported")
        settings.client_id, settings.client_secret = secrets.token_hex(8), secrets.token_hex(16)
        settings.redirect_uris = members["redirect_uris"]
        settings.client_auth_methods = {members["token_endpoint_auth_method"]}
        return {
            **members,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "client_secret_expires_at": 0,
            "registration_access_token": secrets.token_hex(16),
            "registration_client_uri": f"{settings.url}/register/{settings.client_id}",
        }

    return answer(request, handle, 201)
