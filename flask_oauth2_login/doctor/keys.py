"""The app's secrets: their length, and whether each process has the same."""

from __future__ import annotations

import hmac
import os
import secrets
import subprocess
import sys

from flask import Flask

from ..config import Config
from ..protocol.errors import ConfigurationError
from .findings import Finding, Findings

#: The least characters of a secret: 128 bits in base64 are 22, in hexadecimal digits 32.
MIN_LENGTH = 16
#: The least different characters of a secret that somebody has not typed.
MIN_DIFFERENT = 8
#: How long (s) to wait for the app to be loaded once more.
LOAD_SECONDS = 60

MAKE_ONE = (
    'Make one with `python -c "import secrets; print(secrets.token_hex())"`, and set it where the'
    " app runs, as FLASK_SECRET_KEY for app.config.from_prefixed_env()."
)
_LOAD = """
import hmac, sys
from flask.cli import ScriptInfo
key = ScriptInfo(app_import_path=sys.argv[1] or None).load_app().config["SECRET_KEY"]
key = key.encode() if isinstance(key, str) else bytes(key)
print()
print(hmac.digest(sys.argv[2].encode(), key, "sha256").hex())
"""


def check_secrets(app: Flask) -> Findings:
    """Check that the secrets can be used, and can't be guessed."""
    try:
        _ = Config(app).secrets
    except ConfigurationError as error:
        why = "Nobody can sign in."
        yield Finding("error", "secret-key", error.message, why, MAKE_ONE, row=error.row)
        return
    for key in ("SECRET_KEY", "OAUTH2_LOGIN_ENCRYPTION_KEY"):
        given = app.config.get(key) or ()
        for secret in [given] if isinstance(given, (str, bytes)) else given:
            yield from _check_one(key, secret)
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS") or ()
    if app.config["SECRET_KEY"] in fallbacks:
        yield Finding(
            "warning",
            "secret-key-fallbacks",
            "SECRET_KEY is also in SECRET_KEY_FALLBACKS.",
            "A secret that was meant to be replaced is still the newest one.",
            "Put the new secret into SECRET_KEY, and only older ones into SECRET_KEY_FALLBACKS.",
        )
    elif fallbacks:
        yield Finding(
            "note",
            "secret-key-fallbacks",
            f"What SECRET_KEY_FALLBACKS has ({len(fallbacks)}) still opens cookies and records.",
            "Whoever got hold of an older secret can still use it.",
            "Remove older secrets once their cookies have expired. Before that, run"
            " `flask oauth2 reseal` for the records of a server-side store.",
        )


def _check_one(key: str, secret: str | bytes) -> Findings:
    why = "Whoever guesses it can sign in as anybody, and can open the tokens in cookies."
    if len(secret) < MIN_LENGTH:
        what = f"{key} has only {len(secret)} characters."
        yield Finding("error", "secret-key-short", what, why, MAKE_ONE)
    elif len(set(secret)) < MIN_DIFFERENT:
        what = f"{key} has only {len(set(secret))} different characters."
        yield Finding("error", "secret-key-short", what, why, MAKE_ONE)


def check_same_in_each_process(app: Flask, import_path: str) -> Findings:
    """Check, by loading the app in a second process, that it has the same secret there.

    :param import_path: what ``flask --app`` was given; ``""`` if Flask found the app by itself.
    """
    salt = secrets.token_hex()
    key = app.config.get("SECRET_KEY") or b""
    key = key.encode() if isinstance(key, str) else bytes(key)
    found = _load_again(import_path, salt)
    if found is None:
        yield Finding(
            "unknown",
            "secret-key-random",
            "It can't be told whether each process has the same SECRET_KEY, because the app could"
            " not be loaded a second time.",
        )
    elif found != hmac.digest(salt.encode(), key, "sha256").hex():
        yield Finding(
            "error",
            "secret-key-random",
            "SECRET_KEY is another one each time the app is loaded.",
            "A worker can't open the cookies of another one: a sign-in fails with invalid_state"
            " whenever the provider's answer reaches another worker, and each restart signs"
            " everybody out.",
            f"Don't make SECRET_KEY when the app starts. {MAKE_ONE}",
        )


def _load_again(import_path: str, salt: str) -> str | None:
    """Return a salted hash of the SECRET_KEY that the app has in another process."""
    try:
        done = subprocess.run(  # noqa: S603  (this Python, with code of ours)
            [sys.executable, "-c", _LOAD, import_path, salt],
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LOAD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # The app may print something of its own before.
    return done.stdout.splitlines()[-1] if done.returncode == 0 and done.stdout else None
