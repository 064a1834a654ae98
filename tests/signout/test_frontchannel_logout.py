"""Front-channel logout, by a frame in the provider's page."""

from __future__ import annotations

import pytest

from tests.conftest import SSO, MakeSSO
from tests.support.assertions import is_signed_in
from tests.support.handlers import issue
from tests.support.provider import Provider


@pytest.mark.security("D6")
def test_a_front_channel_logout_needs_the_right_iss_and_sid(provider: Provider, sso: SSO) -> None:
    app, browser = sso.app, sso.browser
    browser.sign_in()
    sid, frame = provider.latest_grant.sid, app.test_client()
    for query in (
        {"iss": "https://evil.example", "sid": sid},
        {"iss": provider.issuer},
        {"sid": sid},
    ):
        answer = frame.get("/frontchannel-logout", query_string=query)
        assert answer.status_code == 400
    frame.get("/frontchannel-logout", query_string={"iss": provider.issuer, "sid": "unknown"})
    assert is_signed_in(browser)
    answer = frame.get("/frontchannel-logout", query_string={"iss": provider.issuer, "sid": sid})
    assert answer.status_code == 200
    assert f"frame-ancestors {provider.url}" in answer.headers["Content-Security-Policy"]
    assert not is_signed_in(browser)


@pytest.mark.security("D6")
def test_an_issuer_that_is_a_template_signs_its_own_people_out(
    provider: Provider, make_sso: MakeSSO
) -> None:
    provider.issuer_path, provider.send_iss = "/common/v2.0", False
    provider.metadata_overrides = {"issuer": f"{provider.url}/{{tenantid}}/v2.0"}
    ours, another = (f"{provider.url}/{tenant}/v2.0" for tenant in ("t-1", "t-2"))
    issue(provider, claims={"iss": ours, "tid": "t-1"})
    app, _, browser = make_sso()
    assert browser.sign_in().status_code == 302
    query = {"iss": another, "sid": provider.latest_grant.sid}
    frame = app.test_client()
    assert frame.get("/frontchannel-logout", query_string=query).status_code == 400
    assert is_signed_in(browser)
    query["iss"] = ours
    assert frame.get("/frontchannel-logout", query_string=query).status_code == 200
    assert not is_signed_in(browser)
