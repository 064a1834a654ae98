"""``python -m example_app``: the app, and a provider to sign in at, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import typing as t
import warnings

from flask import Flask
from werkzeug.serving import make_server

from . import create_app
from .provider import read_environment

PEOPLE = {
    "ada": {"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": True},
    "grace": {"name": "Grace Hopper", "email": "grace@example.com", "email_verified": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_app", description=__doc__)
    parser.add_argument("--port", type=int, default=5000, help="of the app; 0 takes a free one")
    parser.add_argument("--provider-port", type=int, default=9400, help="likewise")
    ports = parser.parse_args()
    # As Ctrl-C: what is open is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The server's log of requests has the provider's answers in it, codes included.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        if read_environment():
            serve(create_app(), ports.port)
            return
        with run_provider(ports.provider_port) as provider:
            app = create_app(f"http://localhost:{provider.server_port}")
            serve(app, ports.port, f" and sign in as {' or '.join(PEOPLE)}")


def run_provider(port: int) -> contextlib.AbstractContextManager[t.Any]:
    """A provider in a thread, which listens once this has been entered."""
    with warnings.catch_warnings(record=True):
        # It is made of older libraries, which have a lot to say.
        from oidc_provider_mock import User, run_server_in_thread
    people = [User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    return t.cast(
        contextlib.AbstractContextManager[t.Any], run_server_in_thread(port, user_claims=people)
    )


def serve(app: Flask, port: int, advice: str = "") -> None:
    # Another host name than the local provider's: a cookie knows no ports.
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"Open http://127.0.0.1:{server.server_port}/{advice}. Ctrl-C ends it.", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
