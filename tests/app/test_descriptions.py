"""What is told of a provider before the first sign-in: what to enter, what to set, its oddities."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError
from flask_oauth2_login.providers.described import describe
from flask_oauth2_login.providers.oddities import ORDINARY, SENTENCES
from flask_oauth2_login.providers.presets import known_words, preset_names, unconfirmed
from flask_oauth2_login.providers.rows import all_rows

URL = "https://app.example/in"
BY_FORM = (
    "It sends the authorization response as a form (`form_post.jwt`): the cookie of a sign-in under"
    " way is `SameSite=None; Secure`."
)


def test_what_to_enter_at_the_console_is_in_its_own_words() -> None:
    told = describe("github", url=URL)
    assert (told.label, told.register_url) == ("GitHub", "https://github.com/settings/developers")
    (entry,) = told.entries
    assert (entry.field, entry.value) == ("Authorization callback URL", f"{URL}/callback")
    assert [(each.key, each.field, each.default) for each in told.settings] == [
        ("GITHUB_CLIENT_ID", "Client ID", None),
        ("GITHUB_CLIENT_SECRET", "Client secrets", None),
        ("GITHUB_APP", "app", "Flask-OAuth2-Login"),
    ]
    assert told.scopes == ["read:user", "user:email"]
    assert "28 agree" in told.confidence


def test_a_sign_out_that_goes_on_at_the_provider_is_entered_too() -> None:
    told = describe("keycloak", url=f"{URL}/")
    assert {each.field: each.value for each in told.entries} == {
        "Valid redirect URIs": f"{URL}/callback",
        "Valid post logout redirect URIs": f"{URL}/logout",
        "Backchannel logout URL": f"{URL}/backchannel-logout",
    }
    assert told.roles == ["realm_access.roles", "resource_access.{client_id}.roles"]
    assert "`offline_access`" in told.offline


def test_where_the_words_of_a_console_are_not_known_the_usual_ones_serve() -> None:
    told = describe("bexio", url=URL)
    (entry,) = told.entries
    assert (entry.field, entry.value, entry.is_known) == (
        "Redirect URI", f"{URL}/callback", False,
    )  # fmt: skip
    assert [each.is_known for each in told.settings] == [False, False]
    assert "unconfirmed" in told.confidence


@pytest.mark.parametrize(
    ("url", "host"),
    [(URL, "app.example"), ("http://localhost:5000/x", "localhost"), (None, "<host>")],
)
def test_some_providers_take_a_host_in_place_of_a_url(url: str | None, host: str) -> None:
    (entry,) = (describe("strava", url=url) if url else describe("strava")).entries
    assert (entry.field, entry.value) == ("Authorization Callback Domain", host)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("apple", ["APPLE_CLIENT_ID", "APPLE_PRIVATE_KEY", "APPLE_TEAM_ID", "APPLE_KEY_ID"]),
        ("lichess", ["LICHESS_CLIENT_ID"]),
        ("okta", ["OKTA_CLIENT_ID", "OKTA_CLIENT_SECRET", "OKTA_DOMAIN"]),
    ],
)
def test_only_what_a_provider_has_is_to_be_set(name: str, keys: list[str]) -> None:
    assert [setting.key for setting in describe(name).settings] == keys


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("apple", "your private key signs"),
        ("baidu", "API calls carry the token in the query, as `access_token`."),
        ("bitrix24", "a GET with everything in its URL"),
        ("clickup", "no challenge is sent"),
        ("deputy", "needs `endpoint` of the token response"),
        ("deputy", "leads to a host of `deputy.com` only"),
        ("dingtalk", "`clientId` for `client_id`"),
        ("ebay", "`User Access Token`"),
        ("github", "A second request asks for an e-mail address that the provider has verified."),
        ("line", "signs ID tokens with the client secret"),
        ("linear", "A GraphQL query asks who signed in."),
        ("linkedin", "Its ID tokens have no nonce"),
        ("mailchimp", "after the word `OAuth` in place of `Bearer`"),
        ("notion", "by HTTP Basic"),
        ("notion", "`Notion-Version: 2022-06-28`"),
        ("quickbooks", "A sign-out does not revoke its tokens."),
        ("shopify", "in the header `X-Shopify-Access-Token`"),
        ("slack_api", "its member `authed_user`"),
        ("strava", "It wants `,` between scopes."),
        ("strava", "It tells no e-mail address."),
        ("tiktok", "the parameter `client_id` `client_key`"),
        ("twitch", "The authorization request has `claims`."),
        ("vk", "`device_id` (`device_id` of the authorization response)"),
        ("withings", "`action=requesttoken`"),
        ("withings", "The token response says who signed in."),
    ],
)
def test_what_a_provider_does_in_its_own_way_is_told(name: str, sentence: str) -> None:
    assert sentence in " ".join(describe(name).oddities)


def test_every_option_of_a_row_is_told_of() -> None:
    used = {word for row in all_rows() for word in row}
    assert used <= ORDINARY | {*SENTENCES}
    assert {*SENTENCES} <= {*known_words({})}, "an option that handlers no longer have"


def test_descriptions_are_whole_sentences_without_anything_left_open() -> None:
    for name in preset_names():
        told = describe(name, url=URL)
        for text in (*told.oddities, told.offline, told.confidence):
            assert text == text.strip(), name
            assert text.endswith("."), name
            assert text[0].isupper() or text[0] == "`", name
            assert "{}" not in text, name
            assert "``" not in text, name
        assert told.confirmed == (name not in unconfirmed())
        fields = [each.field for each in told.entries] + [each.field for each in told.settings]
        assert fields, name
        assert all(field.strip() == field != "" for field in fields), name
        assert "{" not in "".join([told.register_url, *(each.value for each in told.entries)]), name


def test_a_provider_of_the_apps_own_is_described_too() -> None:
    own: dict[str, t.Any] = {
        "intranet": {
            "issuer": "https://{domain}",
            "variables": {"domain": None},
            "roles": ["groups"],
            "console": {"client_id": "Application"},
        },
        "github": {"label": "Our GitHub"},
    }
    told = describe("intranet", url=URL, own=own)
    assert [(each.key, each.field) for each in told.settings] == [
        ("INTRANET_CLIENT_ID", "Application"),
        ("INTRANET_CLIENT_SECRET", "Client secret"),
        ("INTRANET_DOMAIN", "domain"),
    ]
    assert (told.label, told.scopes, told.roles) == ("intranet", ["openid"], ["groups"])
    assert told.confidence == "The app describes this provider itself."
    assert describe("github", own=own).label == "Our GitHub"
    with pytest.raises(ConfigurationError, match="Did you mean 'github'"):
        describe("githup", own=own)


@pytest.mark.parametrize(
    ("option", "value", "sentences"),
    [
        ("response_mode", "query", []),
        ("response_mode", "jwt", ["It signs the authorization response (JARM)."]),
        (
            "response_mode",
            "form_post.jwt",
            [f"{BY_FORM} It signs the authorization response (JARM)."],
        ),
        ("par", True, ["Each authorization request is pushed to it first."]),
        ("par", False, []),
        ("jar", True, ["Your private key signs each authorization request."]),
        ("resource", "https://api.example/", ["Its tokens are for `https://api.example/`."]),
    ],
)
def test_how_requests_and_answers_travel_is_told(
    option: str, value: t.Any, sentences: list[str]
) -> None:
    own = {"intranet": {"issuer": "https://sso.example", option: value}}
    assert describe("intranet", url=URL, own=own).oddities == sentences
