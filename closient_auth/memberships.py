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
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router
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
        names = self.get_names()
        # Each letter of a string would be a permission, and each name that a dictionary maps to false.
        if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
            raise ImproperlyConfigured(f"get_permissions() should return names of permissions, not {names!r}.")
        return frozenset(map(str, names))


class Memberships:
    """The members of organizations, as a project stores them. Subclass it and name the class in the setting ``MEMBERSHIPS``.

    ``get_organizations()`` and ``get_permissions()`` are required. The instance is shared by all threads.
    """

    # The project's own permissions. System checks, forms and business keys know these, and those of this package.
    permissions: Collection[str] = ()
    # The model of the teams, such as "teams.Team". By default, the only model with a OneToOneField to Organization and
    # on_delete=PROTECT. Name it if the teams have the same primary key as their organizations.
    model: str = ""
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
        """Return the organization behind an object, such as a team of the project, or ``None`` for anything else."""
        if isinstance(obj, _get_organization_model()):
            return obj
        model = self.get_model()
        if model is None or not isinstance(obj, model):
            return None
        if field := self.get_anchor_field():
            return getattr(obj, field)
        return get_organizations().filter(pk=obj.pk).first()

    def get_name(self, obj: Any) -> str:
        """Return the name of the organization of a team, by default the text of the team."""
        return str(obj)

    # A project overrides what stands above. The package asks what stands below.

    def get_model(self) -> type[models.Model] | None:
        """Return the model of the teams, or ``None`` if the project has none.

        Raise ``ImproperlyConfigured`` if ``model`` is not the name of one.
        """
        if self.uses_roles:
            return None
        if self.model:
            try:
                return apps.get_model(self.model)
            except (LookupError, ValueError) as error:
                raise ImproperlyConfigured(f"{type(self).__qualname__}.model does not name a model: {error}") from error
        linked = _find_linked_models()
        return linked[0] if len(linked) == 1 else None

    def get_anchor_field(self) -> str | None:
        """Return the name of the teams' ``OneToOneField`` to ``Organization``; ``None`` if the primary keys are the same."""
        model = self.get_model()
        return _find_link(model) if model is not None else None

    def is_organization(self, obj: Any) -> bool:
        """Return whether an object is an organization or a team, even one without an organization."""
        model = self.get_model()
        return (model is not None and isinstance(obj, model)) or self.get_anchor(obj) is not None

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
        """Return the same as ``get_organizations()`` from the primary database, each organization once."""
        # A person with several roles has several rows in most joins.
        return get_organizations().filter(pk__in=self.get_organizations(user).order_by().values("pk"))

    def find_named(
        self, organizations: models.QuerySet[Any], names: Sequence[str], *, limit: int | None = None
    ) -> list[Any]:
        """Return those of the organizations that have all these names, each once."""
        ids = [read_uuid(name) for name in names]
        found = list(self._filter_named(organizations, names, ids)[:limit])
        if not found and any(ids) and self.names_by_itself:
            # A project may have names that look like an id.
            known = set(organizations.filter(pk__in=filter(None, ids)).values_list("pk", flat=True))
            ids = [pk if pk in known else None for pk in ids]
            found = list(self._filter_named(organizations, names, ids)[:limit])
        return found

    def get_slug(self, organization: Any) -> str | None:
        """Return the slug of an organization, or ``None`` if a URL with the slug would not lead to it."""
        return None if self.names_by_itself else organization.slug

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
    def names_by_itself(self) -> bool:
        """Whether the project has names of its own for organizations."""
        return type(self).named is not Memberships.named

    def _named(self, organizations: models.QuerySet[Any], name: str) -> models.QuerySet[Any]:
        # PostgreSQL refuses the text, which a client can send in a URL.
        if "\0" in name:
            return organizations.none()
        try:
            named = self.named(organizations, name)
        except ValueError:
            # The project compares the name with a number or a date.
            return organizations.none()
        # A project may forget to filter the organizations, and return that of somebody else. Its joins may repeat rows.
        return organizations.filter(pk__in=named.order_by().values("pk")) if self.names_by_itself else named

    def _filter_named(
        self, organizations: models.QuerySet[Any], names: Sequence[str], ids: Sequence[UUID | None]
    ) -> models.QuerySet[Any]:
        for name, pk in zip(names, ids, strict=True):
            organizations = self._named(organizations, name) if pk is None else organizations.filter(pk=pk)
        return organizations


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
    return cls()


def _get_organization_model() -> type[models.Model]:
    return apps.get_model("closient_auth", "Organization")


def get_organizations() -> models.QuerySet[Any]:
    """Return all organizations, from the primary database."""
    # A lagging replica would return what was true before.
    model = _get_organization_model()
    return model._default_manager.using(router.db_for_write(model))


@cache
def _find_linked_models() -> list[type[models.Model]]:
    # Proxies and subclasses inherit the field. A row that the deletion of an organization deletes is no team, but for example
    # its address.
    links = [(model, _find_link(model, is_own=True)) for model in apps.get_models()]
    return [model for model, name in links if name and _get_on_delete(model, name) is models.PROTECT]


def _get_on_delete(model: type[models.Model], name: str) -> Any:
    field: Any = model._meta.get_field(name)
    return field.remote_field.on_delete


def _find_link(model: type[models.Model], *, is_own: bool = False) -> str | None:
    """Return the name of a model's ``OneToOneField`` to ``Organization``, or ``None``. ``is_own`` leaves out inherited ones."""
    for field in model._meta.concrete_fields:
        is_link = field.one_to_one and not getattr(field.remote_field, "parent_link", False)
        if is_link and field.related_model is _get_organization_model() and (field.model is model or not is_own):
            return field.name
    return None
