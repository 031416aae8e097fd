"""What the pages of the dashboard need of the project."""

from collections.abc import Iterable, Iterator

from django.apps import apps
from django.conf import settings
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from django.urls import NoReverseMatch, get_script_prefix, is_valid_path
from django.utils.module_loading import import_string
from django.utils.translation import get_language

from closient_auth.checks.routes import Route, unwrap
from closient_auth.checks.rules import Finding

FRAME = "closient_auth.dashboard.frame"
TEMPLATE = "closient_auth/dashboard/page.html"
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
# By the app: what the pages do with it.
APPS = {
    "django.contrib.messages": "The pages say with it what a button has done.",
    "django.contrib.staticfiles": "The style and the script of the pages are static files.",
}
PROCESSORS = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)


def find_dashboard(routes: Iterable[Route]) -> Iterator[Finding]:
    """Find what is missing if the dashboard is mounted."""
    if not any(_is_page(route) for route in routes):
        return
    installed = tuple(cls for cls in map(_load, settings.MIDDLEWARE) if isinstance(cls, type))
    for name in MIDDLEWARE:
        if not any(issubclass(cls, import_string(name)) for cls in installed):
            yield _need(
                f"{name!r} in MIDDLEWARE", f"Add {name!r} to MIDDLEWARE. Until then, the pages get a 500 response."
            )
    for name, reason in APPS.items():
        if not apps.is_installed(name):
            yield _need(f"{name!r} in INSTALLED_APPS", f"Add {name!r} to INSTALLED_APPS. {reason}")
    yield from _find_templates()
    if not _leads_somewhere(address := str(settings.LOGIN_URL)):
        hint = f"It is {address!r}, and no view has this address. Set it to the name or path of your log-in page."
        yield _need("a LOGIN_URL that leads to a page", hint)


def _need(what: str, cure: str) -> Finding:
    return Finding("W038", values={"what": what, "cure": cure})


def _is_page(route: Route) -> bool:
    classes = (getattr(view, "view_class", None) for view in unwrap(route.callback))
    return any(base.__module__ == FRAME for cls in classes if cls is not None for base in cls.__mro__)


def _load(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        # Django reports it when the server starts.
        return None


def _find_templates() -> Iterator[Finding]:
    try:
        # The first engine that finds the template renders the pages.
        found = get_template(TEMPLATE)
    except (TemplateDoesNotExist, TemplateSyntaxError) as error:
        cure = f"Set APP_DIRS in an entry of TEMPLATES with Django's own engine. Loading {TEMPLATE} failed: {error}"
        yield _need("its templates", cure)
        return
    engine = getattr(getattr(found, "backend", None), "engine", None)
    processors = getattr(engine, "context_processors", ())
    for name in PROCESSORS:
        if name not in processors:
            yield _need(
                f"{name!r} among the context processors", "Add it to OPTIONS['context_processors'] in TEMPLATES."
            )


def _leads_somewhere(address: str) -> bool:
    """Return whether an address is one of another site, or one that the URLconf knows."""
    try:
        path = resolve_url(address)
    except NoReverseMatch:
        return False
    if not path.startswith("/") or path.startswith("//"):
        return True
    path = "/" + path.partition("?")[0].partition("#")[0].removeprefix(get_script_prefix())
    # Django's own middleware redirects to these.
    tried = (path, f"{path}/", f"/{get_language()}{path}", f"/{get_language()}{path}/")
    return any(map(is_valid_path, tried))
