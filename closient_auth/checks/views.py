"""The views of the URLconf and their policies."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction
from rest_framework.permissions import AND, OR, AllowAny, BasePermission
from rest_framework.settings import api_settings

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.checks.routes import GATE, Route, unwrap
from closient_auth.core.session_only import is_session_only
from closient_auth.permissions import HasOrganizationPermission, SessionOnly

POLICIES = {"authentication_classes", "permission_classes", "throttle_classes"}
# A method of these packages is not a choice of the project. ``uses_mixin()`` knows the effect of ``OrganizationMixin``.
FRAMEWORKS = ("rest_framework.", "adrf.", "closient_auth.mixins")


class View:
    """A REST framework view: its class and the arguments and actions of ``as_view()``, and its routes."""

    def __init__(self, cls: Any, initkwargs: Mapping[str, Any], actions: Mapping[str, str]) -> None:
        self.cls, self.initkwargs, self.actions = cls, initkwargs, actions
        self.routes: list[Route] = []
        self.authenticators = self.get_classes("authentication_classes", "get_authenticators")
        self.permissions = self.get_classes("permission_classes", "get_permissions")
        self.throttles = self.get_classes("throttle_classes", "get_throttles")
        self.refuses_keys = _refuses_keys(cls)
        self.takes_keys = includes(self.authenticators, ApiKeyAuthentication) and not self.refuses_keys
        self.checks_organization = includes(self.permissions, HasOrganizationPermission)
        self.is_public = bool(self.permissions) and is_open(self.permissions or ())

    @property
    def is_async(self) -> bool:
        return any(iscoroutinefunction(route.callback) for route in self.routes)

    def get(self, attribute: str) -> Any:
        return self.initkwargs.get(attribute, getattr(self.cls, attribute, None))

    def get_classes(self, attribute: str, method: str) -> Collection[Any] | None:
        """Return the classes of a policy, or None if a method of the view chooses them for each request."""
        classes = self.get(attribute)
        return classes if isinstance(classes, Collection) and not self.overrides(method) else None

    def overrides(self, *methods: str) -> bool:
        """Return whether the view has methods other than those of REST framework, adrf and this package.

        A method that adrf calls instead, such as ``afilter_queryset``, counts as well.
        """
        names = [*methods, *(f"a{name}" for name in methods if hasattr(self.cls, f"a{name}"))]
        owners = (next((base for base in self.cls.__mro__ if name in vars(base)), self.cls) for name in names)
        return not all(owner.__module__.startswith(FRAMEWORKS) for owner in owners)

    def __str__(self) -> str:
        name = f"{self.cls.__module__}.{self.cls.__name__}"
        # An action with its own policies is not the same place as its viewset.
        has_own = self.actions and self.initkwargs.keys() & POLICIES
        return f"{name}.{'/'.join(self.actions.values())}" if has_own else name


class DefaultView(View):
    """A view without policies of its own: it has the classes in REST framework's settings."""

    def __init__(self) -> None:
        super().__init__(None, {}, {})
        # A view can be public on purpose, but a default cannot.
        self.is_public = False

    def get_classes(self, attribute: str, method: str) -> Collection[Any]:
        try:
            classes = getattr(api_settings, f"DEFAULT_{attribute.upper()}")
        except ImportError:
            # REST framework raises the same error when the project imports a view.
            return ()
        return classes if isinstance(classes, Collection) else (classes,)


class GuardedView:
    """A view of another framework, or of none, that ``closient_auth.contrib`` lets accept API keys."""

    def __init__(self, route: Route, gate: Any, operation: Any = None) -> None:
        self.route, self.permission, self.operation = route, getattr(gate, "permission", None), operation
        self.is_async = iscoroutinefunction(route.callback)
        # The decorator sets the headers of the response. Django-ninja has no hook for them.
        self.needs_middleware = operation is not None

    def __str__(self) -> str:
        *_, view = unwrap(self.operation or self.route.callback)
        view = getattr(view, "view_class", view)
        return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def get_views(routes: Iterable[Route]) -> list[View]:
    """Return the distinct REST framework views of the routes."""
    distinct: dict[Any, View] = {}
    for route, cls, initkwargs, actions in _find_classes(routes):
        # The arguments need not be hashable, so the key has their ids.
        key = cls, frozenset((name, id(value)) for name, value in initkwargs.items()), frozenset(actions.items())
        if key not in distinct:
            distinct[key] = View(cls, initkwargs, actions)
        distinct[key].routes.append(route)
    return list(distinct.values())


def _find_classes(routes: Iterable[Route]) -> Iterator[tuple[Route, Any, dict[str, Any], dict[str, str]]]:
    # This import evaluates the classes in REST framework's settings, so it waits until the URLconf is loaded.
    from rest_framework.views import APIView

    for route in routes:
        view = next((view for view in unwrap(route.callback) if hasattr(view, "cls")), None)
        cls = getattr(view, "cls", None)
        if isinstance(cls, type) and issubclass(cls, APIView) and not cls.__module__.startswith("closient_auth."):
            yield route, cls, getattr(view, "initkwargs", {}), getattr(view, "actions", None) or {}


def get_guarded_views(routes: Iterable[Route]) -> list[GuardedView]:
    """Return the views that accept API keys without REST framework."""
    found = [(route, gate, None) for route in routes for gate in _find_gates(route.callback)]
    found += [(route, *gate) for route in routes for gate in _find_ninja_gates(route.callback)]
    return [GuardedView(*each) for each in found]


def _find_gates(callback: Any) -> Iterator[Any]:
    for view in unwrap(callback):
        if hasattr(view, GATE):
            # ``functools.wraps`` copies the attribute to each decorator around it.
            yield getattr(view, GATE)
            return
    # ``as_view()`` copies the attribute of ``dispatch`` only.
    cls = getattr(callback, "view_class", None)
    for method in getattr(cls, "http_method_names", ()):
        if hasattr(getattr(cls, method, None), GATE):
            yield getattr(getattr(cls, method), GATE)


def _find_ninja_gates(callback: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the gate and the function of each operation of django-ninja behind a view."""
    if getattr(callback, "__module__", "") != "ninja.operation":
        return
    # The view is a function in a method of the object that has the operations of its path.
    for cell in callback.__closure__ or ():
        for operation in getattr(cell.cell_contents, "operations", ()):
            gates = [getattr(auth, GATE) for auth in operation.auth_callbacks if hasattr(auth, GATE)]
            yield from ((gate, operation.view_func) for gate in gates)


def takes_body(view: View) -> bool:
    """Return whether the view has a method that writes what is in the request body."""
    methods = {"post", "put", "patch"}.intersection(view.get("http_method_names") or ())
    return any(method in view.actions if view.actions else hasattr(view.cls, method) for method in methods)


def is_exposed(view: View) -> bool:
    """Return whether members or keys of several organizations reach the view, so that it should limit rows to each."""
    takes_keys = view.takes_keys and not includes(view.permissions, SessionOnly)
    return (view.checks_organization or takes_keys) and not view.is_public


def uses_mixin(view: View) -> bool:
    """Return whether ``OrganizationMixin`` filters the rows of the view and judges what it writes."""
    # This import evaluates the classes in REST framework's settings, so it waits until the URLconf is loaded.
    from closient_auth.mixins import OrganizationMixin

    # The mixin refuses classes in which it would have no effect.
    return issubclass(view.cls, OrganizationMixin)


def _refuses_keys(cls: Any) -> bool:
    try:
        return is_session_only(cls)
    except Exception:
        # The checks of the settings report the error.
        return False


def iter_classes(classes: Iterable[Any] | None) -> Iterator[Any]:
    """Yield the classes of a policy and the operands of ``&``, ``|`` and ``~`` in them."""
    for cls in classes or ():
        yield cls
        yield from iter_classes(getattr(cls, name) for name in ("op1_class", "op2_class") if hasattr(cls, name))


def includes(classes: Iterable[Any] | None, *wanted: type) -> bool:
    """Return whether a policy contains one of the wanted classes or a subclass, alone or as an operand."""
    return any(isinstance(cls, type) and issubclass(cls, wanted) for cls in iter_classes(classes))


def is_open(permissions: Iterable[Any], *others: type[BasePermission]) -> bool:
    """Return whether permission classes admit every request. An empty list does. Classes in ``others`` count as if they did."""
    return all(_admits_every_request(permission, others) for permission in permissions)


def _admits_every_request(permission: Any, others: Iterable[Any]) -> bool:
    operator = getattr(permission, "operator_class", None)
    if operator in (AND, OR):
        operands = [_admits_every_request(cls, others) for cls in (permission.op1_class, permission.op2_class)]
        return all(operands) if operator is AND else any(operands)
    # A class with only ``has_object_permission`` inherits a ``has_permission`` that returns True.
    methods = [AllowAny.has_permission, BasePermission.has_permission, *(other.has_permission for other in others)]
    return getattr(permission, "has_permission", None) in methods
