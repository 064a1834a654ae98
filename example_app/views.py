"""The app's pages."""

from __future__ import annotations

import secrets
import typing as t
from datetime import UTC, datetime
from operator import attrgetter

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from flask_oauth2_login import (
    ProviderError,
    SignIn,
    current_identity,
    current_oauth_session,
    login_required,
)

from .providers import Provider
from .users import Users

views = Blueprint("views", __name__)

#: Our own files, and the pictures of people. The pages of Flask-OAuth2-Login have their own policy.
POLICY = (
    "default-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' https: data:;"
    " frame-ancestors 'none'"
)


def _providers() -> dict[str, Provider]:
    return t.cast("dict[str, Provider]", current_app.extensions["example"][0])


def _users() -> Users:
    return t.cast(Users, current_app.extensions["example"][1])


def _user() -> str:
    """Return the key of the user who is signed in, which `Users.find_or_create` has set."""
    return t.cast(str, current_identity.owner)


@views.get("/")
def home() -> str:
    return render_template("home.html")


@views.get("/profile")
@login_required
def profile() -> str:
    # The page's script asks for the rest, and shows that it may take a while.
    details = _ask_provider() if "details" in request.args else None
    return render_template("profile.html", details=details)


@views.get("/api/profile")
@login_required
def api_profile() -> dict[str, t.Any]:
    return _ask_provider()


def _ask_provider() -> dict[str, t.Any]:
    """Return what the provider's API says of whoever is signed in."""
    # The URL is relative to the API, and the session sends this person's token.
    answer = current_oauth_session.get(_providers()[current_identity.provider].profile_url)
    if not answer.ok:
        raise ProviderError(f"The profile's URL answered {answer.status_code}.")
    return {
        name: value
        for name, value in answer.json().items()
        if value is not None and name != "picture"
    }


@views.get("/account")
@login_required
def account() -> str:
    return render_template(
        "account.html", accounts=_users().accounts(_user()), sign_ins=_find_sign_ins()
    )


def _find_sign_ins() -> list[SignIn] | None:
    """Return where the user is signed in, the last used first; None if browsers keep the records.

    Nothing on the server knows of other browsers then.
    """
    if current_app.config["OAUTH2_LOGIN_STORE"] in {"cookie", "session"}:
        return None
    found = [each for one in _providers().values() for each in one.login.sign_ins(_user())]
    return sorted(found, key=attrgetter("current", "last_used_at"), reverse=True)


@views.post("/account/remove")
@login_required
def remove_account() -> ResponseReturnValue:
    user, provider, id = _user(), request.form["provider"], request.form["id"]
    if provider not in _providers() or not _users().remove(user, provider, id):
        abort(409, "This account is not yours, or the only one that you can sign in with.")
    _providers()[provider].login.unlink(user, id)
    flash("The account is removed.")
    return redirect(url_for("views.account"), 303)


@views.post("/account/sign-out")
@login_required
def sign_out() -> ResponseReturnValue:
    """Sign out in one browser, or in all of them."""
    # Read first: nobody is signed in here any more once this browser's turn has come.
    user, ids = _user(), request.form.getlist("id")
    for provider in _providers().values():
        provider.login.end_sign_ins(user, *ids)
    flash("You are signed out there." if ids else "You are signed out everywhere.")
    return redirect(url_for("views.account" if ids else "views.home"), 303)


@views.get("/favicon.ico")
def favicon() -> Response:
    """Where browsers look on pages that name no icon, such as those of the sign-in."""
    return current_app.send_static_file("favicon.svg")


def show_error(error: HTTPException) -> ResponseReturnValue:
    return render_template("error.html", error=error), error.code or 500


@views.app_context_processor
def make_globals() -> dict[str, t.Any]:
    nonce = g.setdefault("nonce", secrets.token_urlsafe(16))
    logins = current_app.extensions["oauth2_login"].logins
    return {"nonce": nonce, "labels": {name: each.label for name, each in logins.items()}}


@views.after_app_request
def protect(response: Response) -> Response:
    policy = POLICY.format(nonce=g.get("nonce", "none"))
    response.headers.setdefault("Content-Security-Policy", policy)
    return response


@views.app_template_filter("date")
def show_date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %B %Y, %H:%M UTC")


@views.app_template_filter("browser")
def show_browser(user_agent: str) -> str:
    """Return what people call a browser: ``"Firefox on Linux"``. Nothing more relies on it."""
    names = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((each for each in names if each in user_agent), "")
    system = next((each for each in systems if each in user_agent), "")
    name = {"Edg": "Edge", "OPR": "Opera"}.get(name, name)
    return " on ".join(filter(None, (name, system))) or user_agent or "An unknown browser"
