"""What the macros of ``oauth2_login/macros.html`` call: the global ``oauth2_login`` of templates.

Macros are imported without the context of the template that imports them, so they see only globals.
"""

from __future__ import annotations

from flask import current_app, render_template
from markupsafe import Markup

from ..config import accent_color
from ..look.colors import text_color_on
from .links import Link, login_links, logout_form
from .next_url import current_page
from .pages import translate


class TemplateGlobal:
    """The functions of our templates and macros. It has no state."""

    gettext = staticmethod(translate)
    logout_form = staticmethod(logout_form)

    def links(self, name: str | None = None, next: str | None = None) -> list[Link]:
        """Return what the buttons of one login, or of all logins, lead to and show.

        :param next: the path to come back to; by default that of this page.
        """
        return login_links(name, next or current_page())

    @property
    def button_style(self) -> Markup:
        """The rules of our stylesheet that buttons need."""
        accent = accent_color()
        style = render_template(
            "oauth2_login/buttons.css", accent=accent, accent_text=text_color_on(accent)
        )
        return Markup(style)  # noqa: S704  (of our template and colours that were checked)


_GLOBAL = TemplateGlobal()


def add_template_global() -> None:
    """Add the global to the current app, whose first template is about to be rendered."""
    current_app.jinja_env.globals.setdefault("oauth2_login", _GLOBAL)
