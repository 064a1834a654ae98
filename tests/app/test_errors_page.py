"""The table of all errors: what a developer is told ends with the address of a row of it."""

from __future__ import annotations

import ast
import pickle
import re
import typing as t
from pathlib import Path

import pytest
from flask import Flask

import flask_oauth2_login
from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    StoreError,
    TokenError,
)
from tests.support import ROOT
from tests.support.provider import Answer, Browser, Provider

PACKAGE = Path(flask_oauth2_login.__file__).parent
PAGE = ROOT / "docs/errors.md"
ADDRESS = "https://github.com/flask-oauth2-login/flask-oauth2-login/blob/main/docs/errors.md#"

Call = tuple[str, ast.Call]


def calls() -> t.Iterator[Call]:
    """Every call in the package, with where it is and what is called."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def texts(node: ast.AST | None) -> set[str]:
    """All strings of an expression, such as both of `"a" if … else "b"`."""
    found = ast.walk(node) if node is not None else ()
    return {e.value for e in found if isinstance(e, ast.Constant) and isinstance(e.value, str)}


def rows_in_code() -> set[str]:
    rows = set()
    for _, call in calls():
        rows |= texts(keyword(call, "row"))
        if name_of(call) == "see":
            rows |= texts(call.args[0])
        if name_of(call) == "Finding" and not is_error_s(call) and texts(call.args[0]) != {"ok"}:
            rows |= texts(call.args[1])
    for error in all_classes(flask_oauth2_login.OAuth2Error):
        rows |= {error.row, *getattr(error, "_rows", {}).values()} - {None}
    return rows | {"redirect-uri-refused"}


def is_error_s(finding: ast.Call) -> bool:
    """True for a finding that has the row of an error."""
    row = keyword(finding, "row") or (finding.args[6] if len(finding.args) > 6 else None)
    return row is not None and ast.unparse(row) == "error.row"


#: What the package calls an error that it logs. Such an error brings its own address.
ERRORS = {"error", "fault", "half", "refusal"}


def ends_with_address(log_call: ast.Call) -> bool:
    last = log_call.args[-1]
    if isinstance(last, ast.Name):
        return last.id in ERRORS
    return isinstance(last, ast.Call) and name_of(last) in {"see", "with_hint"}


def test_every_warning_in_the_log_ends_with_an_address() -> None:
    methods = {"log.warning", "log.error", "log.exception", "log.log"}
    without = [
        where
        for where, call in calls()
        if ast.unparse(call.func) in methods and not ends_with_address(call)
    ]
    assert without == []


def all_classes(base: type[t.Any]) -> t.Iterator[type[t.Any]]:
    yield base
    for each in base.__subclasses__():
        yield from all_classes(each)


def rows_of_page() -> list[str]:
    return re.findall(r'^\| <a id="([^"]+)" href="#\1">\1</a> \|', PAGE.read_text("utf-8"), re.M)


def test_every_configuration_error_names_a_row() -> None:
    without = [
        where
        for where, call in calls()
        if name_of(call) == "ConfigurationError" and keyword(call, "row") is None
    ]
    assert without == []


def test_every_row_of_the_code_is_in_the_table_and_none_else() -> None:
    rows = rows_of_page()
    assert len(rows) == len(set(rows))
    assert set(rows) == rows_in_code()


def test_every_line_of_the_table_is_a_row() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| <a")]
    assert len(lines) == len(rows_of_page())
    assert all(len(re.split(r"(?<!\\)\|", line)) == 5 for line in lines)


def test_the_text_of_a_mistake_ends_with_the_address_of_its_row() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenIDConnect("the-client", "the-secret", "ftp://sso.example.com")
    assert caught.value.row == "issuer"
    assert str(caught.value) == f"{caught.value.message} See {ADDRESS}issuer"
    assert ADDRESS not in caught.value.message


def test_an_error_that_is_told_by_another_has_one_address(app: Flask) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app.register_blueprint(OAuth2Login("github"), url_prefix="/github")
    text = str(caught.value)
    assert "GITHUB_CLIENT_ID" in text
    assert text.count(ADDRESS) == 1
    assert text.endswith(f".) See {ADDRESS}credentials-missing")


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (AuthorizationError("access_denied"), "sign-in-cancelled"),
        (AuthorizationError("odd"), "sign-in-refused"),
        (TokenError("invalid_client"), "client-refused"),
        (TokenError("invalid_request", "The redirect_uri is wrong"), "redirect-uri-refused"),
        (ProviderError("It answers oddly."), "provider-answer"),
        (StoreError("It is down."), "store-down"),
        (ConfigurationError("An app's own mistake."), None),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_keeps_its_row(error: flask_oauth2_login.OAuth2Error, row: str | None) -> None:
    assert error.row == row
    assert str(error).endswith(f" See {ADDRESS}{row}") is (row is not None)


def test_an_error_comes_back_from_another_process_as_it_was() -> None:
    error = ConfigurationError("A mistake.", row="issuer")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_a_failed_sign_in_is_logged_with_one_address_which_visitors_do_not_see(
    browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.on("/token", Answer(401, {"error": "invalid_client"}))
    page = browser.sign_in()
    assert page.status_code == 502
    assert "errors.md" not in page.text
    lines = [line for line in caplog.messages if "sign-in failed" in line]
    assert [line.count(ADDRESS) for line in lines] == [1] * len(lines)
    assert all(line.endswith("#client-refused") for line in lines)


def test_a_program_that_is_refused_sees_no_address(browser: Browser) -> None:
    refused = browser.fetch("/me")
    assert refused.status_code == 401
    assert "errors.md" not in refused.text
