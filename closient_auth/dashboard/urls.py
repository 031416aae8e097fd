"""URLs of the dashboard. Include them with ``path("settings/", include("closient_auth.dashboard.urls"))``."""

from django.urls import include, path

from closient_auth.dashboard import (
    audit,
    home,
    invitations,
    join,
    keys,
    members,
    own_keys,
    settings,
    usage,
    user_keys,
)

app_name = "closient_dashboard"

of_organization = [
    path("", home.OrganizationHome.as_view(), name="organization"),
    path("keys/", keys.KeysPage.as_view(), name="keys"),
    path("keys/new/", keys.KeyNew.as_view(), name="key-new"),
    path("keys/leaked/", keys.Leaked.as_view(), name="leaked"),
    path("keys/<str:pk>/", keys.Key.as_view(), name="key"),
    path("keys/<str:pk>/rotate/", keys.KeyRotate.as_view(), name="key-rotate"),
    path("keys/<str:pk>/revoke/", keys.KeyRevoke.as_view(), name="key-revoke"),
    path("user-keys/", user_keys.UserKeysPage.as_view(), name="user-keys"),
    path("user-keys/<str:pk>/", user_keys.UserKeyAccess.as_view(), name="user-key-access"),
    path("usage/", usage.UsagePage.as_view(), name="usage"),
    path("members/", members.MembersPage.as_view(), name="members"),
    path("members/<str:pk>/role/", members.MemberPage.as_view(), name="member-role"),
    path("members/<str:pk>/remove/", members.RemovePage.as_view(), name="member-remove"),
    path("invitations/", invitations.InvitationsPage.as_view(), name="invitations"),
    path("invitations/<str:pk>/resend/", invitations.ResendPage.as_view(), name="invitation-resend"),
    path("invitations/<str:pk>/withdraw/", invitations.WithdrawPage.as_view(), name="invitation-withdraw"),
    path("audit/", audit.AuditPage.as_view(), name="audit"),
    path("audit/csv/", audit.AuditFile.as_view(), name="audit-csv"),
    path("settings/", settings.SettingsPage.as_view(), name="settings"),
    path("settings/user-keys/", settings.UserKeysAllowed.as_view(), name="user-keys-allowed"),
    path("settings/leave/", members.LeavePage.as_view(), name="leave"),
    path("settings/transfer/", settings.TransferPage.as_view(), name="transfer"),
    path("settings/delete/", settings.DeletePage.as_view(), name="delete"),
]

urlpatterns = [
    path("", home.HomePage.as_view(), name="home"),
    path("sign-out/", home.SignOut.as_view(), name="sign-out"),
    path("new/", home.NewOrganizationPage.as_view(), name="organization-new"),
    path("invitations/<str:pk>/accept/", join.AcceptOwnPage.as_view(), name="own-invitation-accept"),
    path("invitations/<str:pk>/decline/", join.DeclineOwnPage.as_view(), name="own-invitation-decline"),
    path("join/", join.InvitationPage.as_view(), name="invitation"),
    path("join/decline/", join.DeclinePage.as_view(), name="invitation-decline"),
    path("join/code/", join.CodePage.as_view(), name="invitation-code"),
    path("join/<str:token>/", join.JoinLink.as_view(), name="join"),
    path("keys/", own_keys.OwnKeysPage.as_view(), name="own-keys"),
    path("keys/new/", own_keys.OwnKeyNew.as_view(), name="own-key-new"),
    path("keys/leaked/", own_keys.OwnLeaked.as_view(), name="own-leaked"),
    path("keys/<str:pk>/", own_keys.OwnKey.as_view(), name="own-key"),
    path("keys/<str:pk>/rotate/", own_keys.OwnKeyRotate.as_view(), name="own-key-rotate"),
    path("keys/<str:pk>/revoke/", own_keys.OwnKeyRevoke.as_view(), name="own-key-revoke"),
    path("o/<str:organization>/", include(of_organization)),
]
