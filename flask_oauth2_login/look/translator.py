"""The language of our pages: that of the app's Flask-Babel, else English."""

from __future__ import annotations

import gettext
import typing as t
from pathlib import Path

from flask import current_app, has_request_context

from ..session.request_scope import request_scope

#: The name of our catalogues: ``<folder>/<language>/LC_MESSAGES/flask_oauth2_login.mo``.
DOMAIN = "flask_oauth2_login"
#: Where the catalogues are that come with the package.
FOLDER = Path(__file__).parents[1] / "translations"


class Translator(t.NamedTuple):
    """The texts of one language."""

    #: The value of ``<html lang>``: BCP 47.
    lang: str = "en"
    #: The value of ``<html dir>``: ``"ltr"`` or ``"rtl"``.
    dir: str = "ltr"
    catalogue: gettext.NullTranslations = gettext.NullTranslations()

    def gettext(self, text: str, /, **values: object) -> str:
        """Return a text in this language, with values in place of ``%(name)s``."""
        translated = self.catalogue.gettext(text)
        return translated % values if values else translated


def current_translator() -> Translator:
    """Return the texts in the language of this request.

    A catalogue in one of the app's own folders for translations counts before ours of the same
    language. A language without a catalogue has the English texts.
    """
    if "babel" not in current_app.extensions or not has_request_context():
        return Translator()
    from flask_babel import get_babel, get_locale

    locale, scope = get_locale(), request_scope()
    if scope.translator is None or scope.translator[0] != locale:
        folders = [*get_babel().translation_directories, FOLDER]
        scope.translator = locale, _find_translator(locale, folders) if locale else Translator()
    return t.cast(Translator, scope.translator[1])


def _find_translator(locale: t.Any, folders: t.Iterable[str | Path]) -> Translator:
    """Return the texts of the first catalogue, and those that only the later ones have."""
    # Both "zh_Hans_CN" and "zh_Hans" are usual names of a folder. gettext itself tries "zh", too.
    names = [str(locale), f"{locale.language}_{locale.script}"]
    catalogues = [
        gettext.translation(DOMAIN, folder, names)
        for folder in folders
        if gettext.find(DOMAIN, folder, names)
    ]
    tag = str(locale).replace("_", "-")
    if not catalogues:
        return Translator(tag if locale.language == "en" else "en")
    for further in catalogues[1:]:
        catalogues[0].add_fallback(further)
    return Translator(tag, locale.text_direction, catalogues[0])
