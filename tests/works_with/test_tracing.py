"""OpenTelemetry's instrumentation of requests."""

from __future__ import annotations

import typing as t

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.fixture
def spans() -> t.Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(tracer_provider=tracing)
    yield exporter
    instrumentor.uninstrument()
    tracing.shutdown()


def test_opentelemetry(provider: Provider, make_app: MakeApp, spans: InMemorySpanExporter) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    assert browser.get("/call/repos").status_code == 200
    provider.grants.expire_access()
    assert browser.get("/call/repos").status_code == 200
    found = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    urls = [str(each.get("http.url") or each.get("url.full")) for each in found]
    assert [url for url in urls if url.endswith("/api/repos")]
    # No header is in a span, so no token is.
    assert "Bearer" not in repr(found)
