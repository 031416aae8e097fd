"""Views that refuse API keys, because they change how a person signs in."""

from functools import lru_cache, partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from closient_auth.conf import conf


def is_session_only(view: Any) -> bool:
    """Return whether ``SESSION_ONLY_VIEWS`` names a view or a class that it inherits from, its module or a package above.

    ``view`` is a class, a function, or the result of ``as_view()``. Raise ``ImproperlyConfigured`` if the setting is not a
    list: each letter of a string would be a module, and a generator would be empty for the second request.
    """
    names = conf.SESSION_ONLY_VIEWS
    if not isinstance(names, (list, tuple)):
        raise ImproperlyConfigured("CLOSIENT_AUTH['SESSION_ONLY_VIEWS'] should be a list of modules.")
    while isinstance(view, partial):
        view = view.func
    view = getattr(view, "cls", None) or getattr(view, "view_class", view)
    cls: Any = view if isinstance(view, type) else type(view)
    return _is_below(cls, tuple(names)) or (cls is not view and _is_in(view, names))


# Each request with an API key asks for the class of its view.
@lru_cache(maxsize=1024)
def _is_below(cls: Any, names: tuple[str, ...]) -> bool:
    return any(_is_in(base, names) for base in cls.__mro__)


def _is_in(view: Any, names: Any) -> bool:
    path = f"{getattr(view, '__module__', None)}.{getattr(view, '__qualname__', None)}."
    return any(path.startswith(f"{name}.") for name in names)
