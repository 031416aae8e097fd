"""The holders of keys, an organization or a person: their pages about keys are the same."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from django.db import router
from django.utils.functional import cached_property

from closient_auth.dashboard.badges import get_badge
from closient_auth.dashboard.frame import OrganizationPage, Page, get_role_name
from closient_auth.forms import get_permission_label
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Organization
from closient_auth.models.api_keys import ApiKeyQuerySet, KeyState
from closient_auth.roles import KeyHolder, Permission, get_all_permissions, get_key_types, sort_permissions


class HolderPage(Page):
    """Base of the pages about keys of a holder. Put ``OrganizationKeys`` or ``OwnKeys`` behind it."""

    # The types of key that the holder can have, and what the names of the URLs begin with.
    key_types: ClassVar[Sequence[str]]
    url_prefix: ClassVar[str] = ""

    # The fields of ``ApiKey`` that name the holder.
    get_holder: Callable[[], dict[str, Any]]
    # The permissions that the user may give to a key.
    get_grantable: Callable[[], Collection[str]]
    # The address of the audit log of a key, an empty text for no such page, or ``None`` if the user may not see it.
    get_audit_url: Callable[[ApiKey], str | None]

    def get_organizations(self) -> list[Organization]:
        """Return the organizations to which a key can be restricted."""
        return []

    def get_keys(self) -> ApiKeyQuerySet:
        """Return the keys of the holder from the primary database."""
        keys = ApiKey.objects.using(router.db_for_write(ApiKey)).filter(**self.get_holder()).with_holders()
        return keys.select_related("created_by", "rotated_from", "successor", "restricted_to")

    @cached_property
    def api_key(self) -> ApiKey:
        """The key in the URL."""
        api_key: ApiKey = self.find(self.get_keys(), self.kwargs["pk"])
        return api_key

    def get_key_url(self, name: str, api_key: ApiKey | None = None) -> str:
        """Return the address of a page of this holder, for a key if there is one."""
        kwargs = {} if api_key is None else {"pk": str(api_key.pk)}
        return self.get_url(f"{self.url_prefix}{name}", **kwargs)

    def get_reach(self, api_key: ApiKey) -> list[dict[str, Any]]:
        """Return where a user key works: its organizations, with what it may do there."""
        return []

    def describe(self, api_key: ApiKey, now: Any) -> dict[str, Any]:
        """Return what templates show of a key."""
        successor = getattr(api_key, "successor", None)
        is_ending = successor is not None and api_key.get_state(now) == KeyState.ACTIVE
        return {
            "api_key": api_key,
            "badge": get_badge(api_key, now),
            "url": self.get_key_url("key", api_key),
            # Whether a replaced key that still works was used after its replacement.
            "is_ending": is_ending,
            "is_still_used": successor is not None
            and bool(api_key.last_used and api_key.last_used > successor.created_at),
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        urls = {
            name: self.get_key_url(page) for name, page in (("keys", "keys"), ("new", "key-new"), ("leaked", "leaked"))
        }
        return super().get_context_data(**{"urls": urls, "is_own": bool(self.url_prefix), **kwargs})


class OrganizationKeys(HolderPage, OrganizationPage):
    """The keys of the organization in the URL."""

    tab = "keys"
    permission = Permission.MANAGE_API_KEYS
    key_types = (KeyType.BUSINESS, KeyType.PUBLISHABLE)

    def get_holder(self) -> dict[str, Any]:
        return {"organization": self.organization}

    def get_grantable(self) -> Collection[str]:
        return {name for name in get_all_permissions() if self.allows(name)}

    def get_audit_url(self, api_key: ApiKey) -> str | None:
        may_see = self.allows(Permission.MANAGE_MEMBERS)
        return f"{self.get_url('audit')}?target={api_key.pk}" if may_see else None


class OwnKeys(HolderPage):
    """The user keys of the signed-in person."""

    key_types = tuple(get_key_types(KeyHolder.USER))
    url_prefix = "own-"

    def get_holder(self) -> dict[str, Any]:
        return {"prefix": KeyType.USER, "user": self.request.user}

    def get_grantable(self) -> Collection[str]:
        # At each request, the role of the user limits the key.
        return get_all_permissions()

    def get_organizations(self) -> list[Organization]:
        return [member.organization for member in self.members]

    def get_audit_url(self, api_key: ApiKey) -> str | None:
        return ""

    def get_reach(self, api_key: ApiKey) -> list[dict[str, Any]]:
        return [
            {
                "organization": member.organization,
                "role": get_role_name(member.role),
                "permissions": [
                    get_permission_label(name)
                    for name in sort_permissions(
                        member.organization.get_effective_permissions(member.get_permissions(), api_key)
                    )
                ],
            }
            for member in self.members
        ]
