"""The pages of a person about their own user keys."""

from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard import keys
from closient_auth.dashboard.holders import OwnKeys


class OwnKeysPage(keys.KeyListPage, OwnKeys):
    title = _("My keys")


class OwnKeyNew(keys.KeyCreationPage, OwnKeys):
    pass


class OwnKey(keys.KeyPage, OwnKeys):
    pass


class OwnKeyRotate(keys.KeyRotationPage, OwnKeys):
    pass


class OwnKeyRevoke(keys.KeyRevocationPage, OwnKeys):
    pass


class OwnLeaked(keys.LeakedKeyPage, OwnKeys):
    pass
