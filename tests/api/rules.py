"""A plain Python model of the management API: the state of an organization, and the expected response of each call."""

from __future__ import annotations

from dataclasses import dataclass, field

MANAGERS = ("owner", "manager")
MEMBERS = (*MANAGERS, "billing", "editor")

# The status, and the error code of the body.
Answer = tuple[int, str]


@dataclass
class Key:
    id: str
    raw: str
    prefix: str
    creator: str
    is_active: bool = True
    is_rotated: bool = False


@dataclass
class Offer:
    """An invitation."""

    id: str
    name: str
    role: str
    inviter: str
    token: str
    state: str = "pending"


@dataclass
class Tenant:
    roles: dict[str, str]
    keys: list[Key] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    def create_key(self, who: str) -> Answer:
        return self._enter(who, MANAGERS) or (201, "")

    def change_key(self, who: str, key: Key) -> Answer:
        return self._enter(who, MANAGERS) or self._find(key) or (200, "")

    def revoke_key(self, who: str, key: Key) -> Answer:
        return self._enter(who, MANAGERS) or self._find(key) or (204, "")

    def rotate_key(self, who: str, key: Key) -> Answer:
        if refusal := self._enter(who, MANAGERS) or self._find(key):
            return refusal
        if not key.is_active:
            return 409, "not_active"
        return (409, "already_rotated") if key.is_rotated else (201, "")

    def use_key(self, key: Key, *, writes: bool) -> Answer:
        if not key.is_active:
            return 401, "invalid_api_key"
        if key.prefix == "cpk":
            return 403, "publishable_key_refused"
        return (403, "session_required") if writes else self._find(key) or (200, "")

    def change_role(self, who: str, whom: str, role: str) -> Answer:
        if refusal := self._enter(who, MANAGERS) or self._find_member(whom):
            return refusal
        if not self.may_change(who, self.roles[whom], role):
            return 403, "permission_denied"
        return (409, "last_owner") if role != "owner" and self._is_last_owner(whom) else (200, "")

    def remove_member(self, who: str, whom: str) -> Answer:
        if refusal := self._enter(who, MEMBERS) or self._find_member(whom):
            return refusal
        if who != whom and not self.may_change(who, self.roles[whom], None):
            return 403, "permission_denied"
        return (409, "last_owner") if self._is_last_owner(whom) else (200, "")

    def invite(self, who: str, whom: str, role: str) -> Answer:
        if refusal := self._enter(who, MANAGERS):
            return refusal
        return self._offer(who, whom, role) or (201, "")

    def resend(self, who: str, offer: Offer) -> Answer:
        if refusal := self._enter(who, MANAGERS) or self._find(offer):
            return refusal
        if not self.may_change(who, None, offer.role):
            return 403, "permission_denied"
        return (
            (409, "not_open")
            if offer.state != "pending"
            else self._offer(who, offer.name, offer.role, offer) or (200, "")
        )

    def withdraw(self, who: str, offer: Offer) -> Answer:
        if refusal := self._enter(who, MANAGERS) or self._find(offer):
            return refusal
        # Managers may withdraw an Owner's invitation if it is no longer valid.
        is_valid = offer.state == "pending" and not self.is_void(offer)
        if is_valid and not self.may_change(who, None, offer.role):
            return 403, "permission_denied"
        return (409, "not_open") if offer.state == "accepted" else (204, "")

    def accept(self, who: str, offer: Offer) -> Answer:
        if offer.state == "accepted" and offer.name == who and who in self.roles:
            return 201, ""
        if offer.state != "pending" or self.is_void(offer):
            return 409, "invalid_invitation"
        if offer.name != who:
            return 409, "other_email"
        return 201, ""

    def is_void(self, offer: Offer) -> bool:
        return offer.state == "pending" and not self.may_change(offer.inviter, None, offer.role)

    def may_change(self, actor: str, old: str | None, new: str | None) -> bool:
        role = self.roles.get(actor)
        return role == "owner" or (role == "manager" and "owner" not in (old, new))

    def _enter(self, who: str, roles: tuple[str, ...]) -> Answer | None:
        if who not in self.roles:
            return 404, ""
        return None if self.roles[who] in roles else (403, "permission_denied")

    def _find(self, thing: Key | Offer | None) -> Answer | None:
        return None if thing is None or thing in [*self.keys, *self.offers] else (404, "")

    def _find_member(self, whom: str) -> Answer | None:
        return None if whom in self.roles else (404, "")

    def _is_last_owner(self, name: str) -> bool:
        return [member for member, role in self.roles.items() if role == "owner"] == [name]

    def _offer(self, who: str, whom: str, role: str, besides: Offer | None = None) -> Answer | None:
        if not self.may_change(who, None, role):
            return 403, "permission_denied"
        if whom in self.roles:
            return 409, "already_member"
        others = [offer for offer in self.offers if offer is not besides]
        return (409, "already_invited") if any((o.name, o.state) == (whom, "pending") for o in others) else None
