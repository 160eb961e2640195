"""Install Jinja2's i18n extension so that templates translate through the locale they are rendered with."""

from jinja2 import Environment, pass_context
from jinja2.runtime import Context

from alerts.language.locale import Locale


def install(environment: Environment) -> None:
    """``_()``, ``ngettext()``, ``{% trans %}`` and the like; templates are rendered with ``locale=Locale(...)``.

    The words are taken for good HTML (they are the house's own), the values put into them are escaped. So only words
    that stand in the template go into ``_()``; names and reasons are for ``locale.term`` and ``locale.reason``.
    """
    environment.add_extension("jinja2.ext.i18n")
    # the extension makes this method when it is added, which no type can tell
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        _gettext, _ngettext, newstyle=True, pgettext=_pgettext, npgettext=_npgettext
    )


def _locale(context: Context) -> Locale:
    locale = context["locale"]
    assert isinstance(locale, Locale), "a template is rendered without a locale"
    return locale


@pass_context
def _gettext(context: Context, words: str) -> str:
    return _locale(context).gettext(words)


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    return _locale(context).ngettext(one, many, count)


@pass_context
def _pgettext(context: Context, about: str, words: str) -> str:
    return _locale(context).pgettext(about, words)


@pass_context
def _npgettext(context: Context, about: str, one: str, many: str, count: int) -> str:
    return _locale(context).npgettext(about, one, many, count)
