"""Who belongs to which organization, and what each person may do there.

By default, the rows of ``Membership`` decide. A project with teams of its own names a subclass of ``Memberships`` in
``CLOSIENT_AUTH["MEMBERSHIPS"]``: then its rows decide, at each request. Each of its teams has an *anchor*, the row of
``Organization`` that keys belong to.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models, router
from django.db.models import Exists, Q
from django.utils.module_loading import import_string

from closient_auth.conf import conf


class Member(NamedTuple):
    """A user in one of their organizations. ``get_names`` returns the names of the user's permissions there.

    ``role`` is that of a ``Membership``; a project with members of its own has none.
    """

    organization: Any
    get_names: Callable[[], Iterable[str]]
    role: str | None = None

    def get_permissions(self) -> frozenset[str]:
        """Return the permissions of the user. Raise ``ImproperlyConfigured`` if the project returns no collection of names."""
        names: Any = self.get_names()
        # Each letter of a string would be a permission, and so would the names that a dictionary maps to ``False``.
        is_collection = isinstance(names, Iterable) and not isinstance(names, str | bytes | Mapping)
        found: tuple[Any, ...] = tuple(names) if is_collection else ()
        if not is_collection or not all(isinstance(name, str) for name in found):
            shown = found if is_collection else names
            raise ImproperlyConfigured(f"get_permissions() should return names of permissions, not {shown!r}.")
        # The text of a member of an enumeration can be another one than its value.
        return frozenset(map(str.__str__, found))


class Memberships:
    """The members of organizations, as a project stores them. Subclass it and name the class in the setting ``MEMBERSHIPS``.

    ``get_organizations()`` and ``get_permissions()`` are required. The instance is shared by all threads.
    """

    # The project's own permissions. System checks, forms and business keys know these, and those of this package.
    permissions: Collection[str] = ()
    # The model of the teams, such as "teams.Team". By default, the only model with a OneToOneField to Organization. Name it if
    # the teams have the same primary key as their organizations.
    model: str = ""
    # The OneToOneField of the teams, if the model has several.
    anchor_field: str = ""
    # Whether the members are rows of ``Membership``, with its roles.
    uses_roles = False

    def get_organizations(self, user: Any) -> models.QuerySet[Any]:
        """Return the organizations that have this user as a member, as a queryset of ``Organization``."""
        raise NotImplementedError(f"{type(self).__qualname__} should have a method get_organizations().")

    def get_permissions(self, user: Any, organization: Any) -> Iterable[str]:
        """Return the names of the permissions that this member has in the organization."""
        raise NotImplementedError(f"{type(self).__qualname__} should have a method get_permissions().")

    def get_users(self, organization: Any) -> models.QuerySet[Any] | None:
        """Return the members of the organization as a queryset of users, or ``None`` if nobody can list them.

        This is optional. The list of the members' user keys and the reminders to the members who manage keys need it.
        """
        return None

    def named(self, organizations: models.QuerySet[Any], name: str) -> models.QuerySet[Any]:
        """Filter organizations by what a URL or ``X-Organization`` calls them, by default the slug or the id.

        A client can send any text. A ``ValueError`` means that no organization has this name. The id of an organization
        always names it, whatever this method does.
        """
        found: models.QuerySet[Any] = organizations.named(name)  # type: ignore[attr-defined]
        return found

    def get_anchor(self, obj: Any) -> Any:
        """Return the organization behind a row of the project, such as a team, or ``None`` for any other row."""
        if isinstance(obj, _get_organization_model()):
            return obj
        model = self.get_model()
        if model is None or not isinstance(obj, model):
            return None
        if field := self.get_anchor_field():
            return getattr(obj, field)
        return get_organizations().filter(pk=obj.pk).first()

    def get_slug(self, organization: Any) -> str | None:
        """Return what a URL calls the organization, or ``None`` if only its id is known. Clients see it as ``slug``.

        By default, it is the slug of the organization, or ``None`` for a project with its own ``named()``.
        """
        return None if self.names_by_itself else str(organization.slug)

    def get_name(self, obj: Any) -> str:
        """Return the name of the organization of a team, by default the text of the team."""
        return str(obj)

    # A project overrides what stands above. The package asks what stands below.

    def get_model(self) -> type[models.Model] | None:
        """Return the model of the teams, or ``None`` if the project has none or several.

        Raise ``ImproperlyConfigured`` if ``model`` is not the name of one.
        """
        if self.uses_roles:
            return None
        if self.model:
            try:
                found: type[models.Model] = apps.get_model(self.model)
            except (LookupError, ValueError) as error:
                raise ImproperlyConfigured(f"{type(self).__qualname__}.model does not name a model: {error}") from error
            # A row that was read as the parent of a proxy is a team as well.
            concrete: type[models.Model] | None = found._meta.concrete_model
            return concrete or found
        linked = find_linked_models()
        return linked[0] if len(linked) == 1 else None

    def get_anchor_field(self) -> str | None:
        """Return the name of the teams' ``OneToOneField`` to ``Organization``; ``None`` if the primary keys are the same.

        Raise ``ImproperlyConfigured`` if the model has several and ``anchor_field`` names none of them.
        """
        model = self.get_model()
        names = [] if model is None else _find_links(model)
        if self.anchor_field in names:
            return self.anchor_field
        if len(names) > 1 or self.anchor_field:
            raise ImproperlyConfigured(
                f"{type(self).__qualname__}.anchor_field should be the OneToOneField that leads to the organization of a team"
                f"{': ' if names else ''}{' or '.join(map(repr, names))}."
            )
        return names[0] if names else None

    def find_anchor(self, obj: Any) -> Any:
        """Return the organization that an object is or stands for, or ``None`` for anything else."""
        if isinstance(obj, _get_organization_model()):
            return obj
        if self.uses_roles or not isinstance(obj, models.Model):
            return None
        try:
            return self.get_anchor(obj)
        except AttributeError:
            # The project expects rows of another model.
            return None

    def is_organization(self, obj: Any) -> bool:
        """Return whether an object is an organization or a team, even one without an organization."""
        if self.uses_roles or not isinstance(obj, models.Model):
            return isinstance(obj, _get_organization_model())
        model = self.get_model()
        # If the model is not known, any row may be a team.
        return model is None or isinstance(obj, model) or self.find_anchor(obj) is not None

    def find(
        self,
        user: Any,
        names: Sequence[str] = (),
        *,
        within: models.QuerySet[Any] | None = None,
        limit: int | None = None,
    ) -> list[Member]:
        """Return the user in each of their organizations that have all these names, from the primary database.

        ``within`` are the organizations to choose from, by default all.
        """
        organizations = self.find_organizations(user)
        if within is not None:
            organizations = organizations.filter(pk__in=within.values("pk"))
        rows = self.find_named(organizations, names, limit=limit)
        return [Member(organization, partial(self.get_permissions, user, organization)) for organization in rows]

    def find_member(self, user: Any, organization: Any) -> Member | None:
        """Return the user in this organization, read again, or ``None`` for a user who is not a member."""
        found = self.find_organizations(user).filter(pk=organization.pk).first()
        return None if found is None else Member(found, partial(self.get_permissions, user, found))

    def find_organizations(self, user: Any) -> models.QuerySet[Any]:
        """Return the same as ``get_organizations()`` from the primary database, each organization once.

        Raise ``ImproperlyConfigured`` if it returns anything else.
        """
        rows = _check_queryset("get_organizations", self.get_organizations(user))
        # A person with several roles has several rows in most joins.
        return get_organizations().filter(pk__in=rows.order_by().values("pk"))

    def find_users(self, organization: Any) -> models.QuerySet[Any] | None:
        """Return the same as ``get_users()``, each user once."""
        users = self.get_users(organization)
        if users is None:
            return None
        # ``distinct()`` is not possible for a union.
        return get_user_model()._base_manager.filter(pk__in=users.order_by().values("pk"))

    def find_named(
        self, organizations: models.QuerySet[Any], names: Sequence[str], *, limit: int | None = None
    ) -> list[Any]:
        """Return those of the organizations that have all these names, each once."""
        return list(self.filter_named(organizations, names)[:limit])

    def filter_named(self, organizations: models.QuerySet[Any], names: Sequence[str]) -> models.QuerySet[Any]:
        """Filter the organizations that have all these names. This sends no query."""
        found = organizations
        for name in names:
            pk = read_uuid(name)
            if pk is None:
                found = self._named(found, name)
            elif not self.names_by_itself:
                found = found.filter(pk=pk)
            else:
                # A project may have names that look like an id. The id wins.
                named = Q(pk__in=self._named(found, name).values("pk")) & ~Exists(organizations.filter(pk=pk))
                found = found.filter(Q(pk=pk) | named)
        return found

    def is_named(self, organization: Any, name: str) -> bool:
        """Return whether a URL or header with this name means the organization."""
        if read_uuid(name) == organization.pk or not self.names_by_itself:
            return bool(organization.is_named(name))
        one = get_organizations().filter(pk=organization.pk)
        return self._named(one, name).exists()

    @property
    def lists_users(self) -> bool:
        """Whether the project can list the members of an organization."""
        return type(self).get_users is not Memberships.get_users

    @property
    def has_slugs(self) -> bool:
        """Whether clients learn what URLs call an organization."""
        return not self.names_by_itself or type(self).get_slug is not Memberships.get_slug

    @property
    def names_by_itself(self) -> bool:
        """Whether the project has names of its own for organizations."""
        return type(self).named is not Memberships.named

    def _named(self, organizations: models.QuerySet[Any], name: str) -> models.QuerySet[Any]:
        # PostgreSQL refuses the text, which a client can send in a URL.
        if "\0" in name:
            return organizations.none()
        try:
            named = self.named(organizations, name)
        except (ValueError, ValidationError):
            # The project compares the name with a number, a date or an id.
            return organizations.none()
        if not self.names_by_itself:
            return named
        # A project may forget to filter the organizations, and return that of somebody else. Its joins may repeat rows.
        return organizations.filter(pk__in=_check_queryset("named", named).order_by().values("pk"))


def get_memberships() -> Memberships:
    """Return the ``Memberships`` of this project. Raise ``ImproperlyConfigured`` if ``MEMBERSHIPS`` names none."""
    path: object = conf.MEMBERSHIPS
    if not isinstance(path, str):
        raise ImproperlyConfigured(f"CLOSIENT_AUTH['MEMBERSHIPS'] should be the dotted path of a class, not {path!r}.")
    return _load(path)


def read_uuid(text: str) -> UUID | None:
    """Return the UUID in any notation accepted by ``uuid.UUID``, or ``None``."""
    try:
        return UUID(text)
    except ValueError:
        return None


@cache
def _load(path: str) -> Memberships:
    try:
        cls = import_string(path)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"CLOSIENT_AUTH['MEMBERSHIPS'] cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Memberships)):
        raise ImproperlyConfigured(f"CLOSIENT_AUTH['MEMBERSHIPS'] should name a subclass of Memberships, not {path!r}.")
    try:
        return cls()
    except Exception as error:
        raise ImproperlyConfigured(f"CLOSIENT_AUTH['MEMBERSHIPS'] cannot be created: {error}") from error


def _check_queryset(name: str, rows: Any) -> models.QuerySet[Any]:
    """Raise ``ImproperlyConfigured`` unless a method of the project returned organizations."""
    if isinstance(rows, models.QuerySet) and issubclass(rows.model, _get_organization_model()):
        return rows
    shown = f"a queryset of {rows.model._meta.label}" if isinstance(rows, models.QuerySet) else repr(rows)
    raise ImproperlyConfigured(f"{name}() should return a queryset of closient_auth.Organization, not {shown}.")


def _get_organization_model() -> type[models.Model]:
    return apps.get_model("closient_auth", "Organization")


def get_organizations() -> models.QuerySet[Any]:
    """Return all organizations, from the primary database."""
    # A lagging replica would return what was true before.
    model = _get_organization_model()
    return model._default_manager.using(router.db_for_write(model))


@cache
def find_linked_models() -> list[type[models.Model]]:
    """Return the models with a ``OneToOneField`` to ``Organization``."""
    # Proxies and subclasses inherit the field.
    return [model for model in apps.get_models() if _find_links(model, is_own=True)]


def _find_links(model: type[models.Model], *, is_own: bool = False) -> list[str]:
    """Return the names of a model's ``OneToOneField`` to ``Organization``. ``is_own`` leaves out inherited ones."""
    return [
        field.name
        for field in model._meta.concrete_fields
        if field.one_to_one
        and not getattr(field.remote_field, "parent_link", False)
        and field.related_model is _get_organization_model()
        and (field.model is model or not is_own)
    ]
