"""Where records rest: the stores and their tables, the file on this machine, and the workers."""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from flask import Flask

from ..protocol.errors import ConfigurationError, StoreError
from ..session.extension import extension_of
from ..session.registration import Login
from ..stores.sqlite import SQLiteStore
from .findings import Finding, Findings

#: Variables of the environment that tell of a platform where an app often runs several times.
PLATFORMS = {
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
    "K_SERVICE": "Cloud Run",
    "DYNO": "Heroku",
    "FLY_APP_NAME": "Fly.io",
    "WEBSITE_INSTANCE_ID": "Azure App Service",
}
_WORKERS = re.compile(r"(?:^|\s)(?:-w|--workers)[ =]?(\d+)")


def check_store(app: Flask, login: Login) -> Findings:  # noqa: ARG001
    """Check a login's store on the server."""
    store, name = login.store, login.name
    if store is None:
        return
    kind = type(store).__name__
    check: t.Callable[[], None] | None = getattr(store, "check", None)
    try:
        if check is not None:
            check()
        else:
            store.read("doctor")
    except (ConfigurationError, StoreError) as error:
        is_missing = isinstance(error, ConfigurationError) and hasattr(store, "create_tables")
        yield Finding(
            "error",
            "store",
            error.message,
            "Nobody can sign in, and whoever is signed in gets an error page.",
            "Run `flask oauth2 create-tables`." if is_missing else "Mend what the message says.",
            name,
            error.row,
        )
    else:
        yield Finding("ok", "store", f"The {kind} can be used.", login=name)
    if not isinstance(store, SQLiteStore):
        return
    if store.path == ":memory:":
        yield Finding(
            "error",
            "store-memory",
            "The store is in the memory of one process.",
            "Other workers don't have it, and each restart signs everybody out.",
            "Name a file: store='sqlite:///logins.db'.",
            name,
        )
    elif platform := find_platform():
        what = f"The store is a file of one machine, and the app is on {platform}."
        yield _several_machines(what, name)


def check_local_file(app: Flask) -> Findings:
    """Check the file that the processes of this machine share, if browsers keep records."""
    extension = extension_of(app)
    names = [each.name for each in extension.logins.values() if each.store is None]
    if not names:
        return
    local, workers = extension.local_store, count_workers()
    try:
        local.read("doctor")
    except StoreError as error:
        yield Finding(
            "error",
            "shared-file",
            error.message,
            "Whoever is signed in gets an error page, because nobody knows who has signed out.",
            "Mend what the message says, or use a server-side store.",
            row=error.row,
        )
        return
    if local.path is None:
        yield Finding(
            "error",
            "shared-file",
            f"No file can be made for the processes of this app to share: {local.no_file_reason}",
            "Each process is on its own"
            + (f", and there are {workers} workers" if workers else "")
            + ". A copy of old cookies signs somebody in at a process that does not know of the"
            " sign-out, and a refresh token may be used twice.",
            f"Make the folder {app.instance_path}, writable for the user that runs the app, or use"
            " a server-side store.",
        )
        return
    yield Finding("ok", "shared-file", f"The processes of this machine share {local.path}.")
    if local.path.startswith(tempfile.gettempdir() + os.sep):
        yield Finding(
            "note",
            "shared-file-temporary",
            "That file is in the system's temporary folder.",
            "If it is lost, copies of cookies from before a sign-out count again. A service with"
            " a temporary folder of its own, and another user, each have another file.",
            f"Make the folder {app.instance_path}, writable for the user that runs the app.",
        )
    if platform := find_platform():
        where = f"Browsers keep the records of {', '.join(names)}, and the app is on {platform}."
        yield _several_machines(where, None)


def _several_machines(what: str, login: str | None) -> Finding:
    return Finding(
        "warning",
        "several-machines",
        what,
        "If it runs on several machines there, each knows only its own sign-outs and refreshed"
        " tokens: people are signed out at random, or stay signed in after a sign-out.",
        "Use a store that all of them reach: OAUTH2_LOGIN_STORE='postgresql+psycopg://…' or"
        " 'redis://…'.",
        login,
    )


def count_workers() -> int | None:
    """Return how many workers the environment tells gunicorn to start; None if it does not."""
    found = _WORKERS.search(os.environ.get("GUNICORN_CMD_ARGS", ""))
    value = found[1] if found else os.environ.get("WEB_CONCURRENCY", "")
    return int(value) if value.isdigit() else None


def find_platform() -> str | None:
    """Return the name of the platform that runs this process; None if none is recognised."""
    return next((name for key, name in PLATFORMS.items() if key in os.environ), None)
