"""Loading what users name as `module:attribute`, and asking for what only an extra of this package brings."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from chatbot.errors import ConfigurationError


def load(path: str) -> Any:
    """Return the attribute that `module:attribute` names. Raises ConfigurationError, which says what is missing."""
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise ConfigurationError(f"{path!r} must have the form module:attribute, for example my_bot.replies:respond")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name and not f"{module_name}.".startswith(f"{exc.name}."):
            raise
        raise ConfigurationError(
            f"{path!r}: there is no module {exc.name!r}; is it here, installed, or on PYTHONPATH?"
        ) from exc
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as exc:
            raise ConfigurationError(f"{path!r}: {module_name} has no attribute {attribute!r}") from exc
    return found


def needs(package: str, extra: str, *, what: str) -> None:
    """Raise ConfigurationError, which says how to install it, unless there is the package on which `what` stands."""
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # not even what it is a part of
        found = None
    if found is None:
        raise ConfigurationError(f"{what} needs {package}, which is not installed here: pip install 'chatbot[{extra}]'")
