"""A worker of RQ, on a real Redis, that calls the API for somebody who signed out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from rq import Queue

from tests.support import ROOT
from tests.support.provider import Browser, Provider
from tests.support.servers import Server
from tests.support.worker import make_worker


def test_a_worker_calls_the_api_for_somebody_who_signed_out(
    provider: Provider, redis_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER", provider.url)
    monkeypatch.setenv("INSTANCE", str(tmp_path))
    monkeypatch.setenv("STORE", f"sqlite:///{tmp_path}/logins.db")
    browser = Browser(make_worker(), provider)
    browser.sign_in()
    browser.post("/logout")
    provider.grants.expire_access()
    with redis.Redis.from_url(redis_server.url) as connection:
        queue = Queue("jobs", connection=connection)
        jobs = [queue.enqueue("tests.support.worker.call_for", "oauth2::ada") for _ in range(3)]
        command = [
            sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", redis_server.url, "jobs",
        ]  # fmt: skip
        subprocess.run(command, cwd=ROOT, env=os.environ, check=True, timeout=60)
        assert [job.return_value() for job in jobs] == ["ada"] * 3
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
