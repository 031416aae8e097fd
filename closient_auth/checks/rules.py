"""The table of all system checks. ``docs/checks.md`` describes the same ids."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.core.checks import CheckMessage, Error, Warning

# The message and the hint of each check: ``{place}`` becomes a list of views, or the name of a setting.
# ``E`` is an error and ``W`` a warning. Projects silence checks by id, so an id keeps its meaning for ever.
RULES = {
    # The setting CLOSIENT_AUTH
    "E001": ("CLOSIENT_AUTH[{name!r}] is not a known setting.", "{suggestion}"),
    "E002": (
        "CLOSIENT_AUTH should be a dictionary, not a {type}.",
        'Write CLOSIENT_AUTH = {{"RATE_LIMIT_PER_MINUTE": 300}}, or remove the setting.',
    ),
    "E003": ("CLOSIENT_AUTH[{name!r}] should be {wanted}, not {value}.", "Remove it to use the default, {default!r}."),
    "E004": (
        "CLOSIENT_AUTH['HEADER'] should be {wanted}, not {value}.",
        "Use letters, digits and single hyphens, such as {default!r}. For Authorization, set ACCEPT_BEARER instead.",
    ),
    "E005": ("CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS']{problem}, not {value}.", "{advice}"),
    "E014": ("CLOSIENT_AUTH['MEMBERSHIPS']{problem}.", "{advice}"),
    "W034": (
        "The model of your teams is not known to {name}: {linked} have a OneToOneField to Organization.",
        "Set model = 'app.Model' there. Until then, has_perm() does not know your teams, and no check or command finds those "
        "without an organization.",
    ),
    "W035": (
        "CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'] is not read for members, because {name} decides what they may do.",
        "Remove it, and name these permissions in {name}.permissions.",
    ),
    "W036": (
        "{field} should have on_delete=PROTECT, null=True and editable=False.",
        "Deleting an organization must not delete a team, a team is stored before its organization, and no form may choose the "
        "organization of a team.",
    ),
    "W032": (
        "{count} rows of {model} have no organization, so nobody can use API keys there.",
        "Run manage.py sync_organizations. QuerySet.bulk_create() and other programs do not create organizations.",
    ),
    "W033": (
        "{count} organizations belong to no row of {model}, and their API keys work.",
        "Run manage.py sync_organizations --dry-run to list them, and --delete-orphans --with-keys to delete them.",
    ),
    "W025": (
        "CLOSIENT_AUTH['SESSION_ONLY_VIEWS'] names {name!r}, which is not a module.",
        "Correct the name. Until then, the views of the module that you mean accept API keys.",
    ),
    "W022": (
        "CLOSIENT_AUTH['HEADER'] should be a name that Django hides in error reports, not {value}.",
        "Django's error pages and e-mails show the API keys. Use a name with KEY or TOKEN, such as {default!r}, or extend "
        "hidden_settings of your DEFAULT_EXCEPTION_REPORTER_FILTER.",
    ),
    "W015": (
        "CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'] should also give the owner: {permissions}.",
        "Roles do not inherit permissions. Add these to 'owner' too.",
    ),
    "W027": (
        "CLOSIENT_AUTH['KEY_LIFETIME_DAYS'] should be at most MAX_KEY_LIFETIME_DAYS ({maximum}), not {days}.",
        "Lower it. Until then, keys without a chosen expiry live for {maximum} days.",
    ),
    "W028": (
        "CLOSIENT_AUTH['TRUSTED_PROXIES'] should not be 0 behind a proxy ({sign} is set): clients are told apart by address.",
        "Set it to the number of proxies that append to X-Forwarded-For. Until then, every client seems to have the address of "
        "the proxy. If your server or a middleware corrects REMOTE_ADDR, silence this check.",
    ),
    # Versions
    "W019": (
        "Django should be {wanted} or later, not {installed}.",
        "Install django>={wanted}. Older releases have known security holes: before 5.2.13 and 6.0.4, for example, the key "
        "header can be sent under a second name with ASGI, such as X_API_Key (CVE-2026-3902).",
    ),
    # Authentication, permission and throttle classes
    "W001": (
        "ApiKeyAuthentication should be the first authentication class in: {place}.",
        "REST framework takes the WWW-Authenticate header of a 401 from the first class, or responds 403 without it.",
    ),
    "W012": (
        "ApiKeyAuthentication is not used by any view, so API keys are not accepted anywhere.",
        "Put 'closient_auth.authentication.ApiKeyAuthentication' first in DEFAULT_AUTHENTICATION_CLASSES or in a view.",
    ),
    "W002": (
        "ApiKeyRateThrottle should be one of the throttle classes in: {place}.",
        "Add 'closient_auth.throttling.ApiKeyRateThrottle'. API key rate limits are not enforced without it.",
    ),
    "E006": (
        "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES'] should not admit every request.",
        "Set it to ['rest_framework.permissions.IsAuthenticated'], and use AllowAny on public views.",
    ),
    "W003": (
        "The permission classes should not be empty in: {place}.",
        "They admit every request. Name the permission classes, or AllowAny if the view is public.",
    ),
    "W004": (
        "IsAdminUser and DjangoModelPermissions should not be used with API keys in: {place}.",
        "Use HasOrganizationPermission, or remove ApiKeyAuthentication: a user key has its user's rights in the admin.",
    ),
    "W026": (
        "SessionOnly should be combined with another permission class in: {place}.",
        "It admits every request without a key. Add IsAuthenticated, or combine SessionOnly with & instead of |.",
    ),
    "E010": (
        "HasOrganizationPermission should not be negated with ~ in: {place}.",
        "~ admits every request that the class refuses. Write an explicit permission class instead.",
    ),
    "W010": (
        "HasOrganizationPermission should be the last operand of | in: {place}.",
        "It responds 404 for another organization's object, and the permission after it is never evaluated.",
    ),
    "W020": (
        "cache_page should not be used with API keys in: {place}.",
        "It can store one caller's response and send it to another. Cache data in the view instead, and put the id of the "
        "organization in the cache key.",
    ),
    "W024": (
        "API keys should not be accepted by views that change an account: {place}.",
        "A leaked user key could take over its person's account. Add closient_auth.permissions.SessionOnly to "
        "permission_classes, or the module to CLOSIENT_AUTH['SESSION_ONLY_VIEWS'].",
    ),
    # The attribute required_permissions
    "E007": (
        "required_permissions should name a permission for {handler} in: {place}.",
        "Until then, such a request gets a 500 response.",
    ),
    "E008": (
        "required_permissions names {permission!r}, which is not a known permission, in: {place}.",
        "{suggestion} Add your own to CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'].",
    ),
    "E012": (
        "{permission!r} is not a known permission, but is required in: {place}.",
        "{suggestion} Add your own to CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'].",
    ),
    "E013": (
        "ResponseHeadersMiddleware should be in MIDDLEWARE, because API keys are accepted in: {place}.",
        "Add 'closient_auth.middleware.ResponseHeadersMiddleware'. Until then, such a request gets a 500 response.",
    ),
    "W005": (
        "required_permissions is not read by any permission class in: {place}.",
        "Add HasOrganizationPermission to permission_classes. Without it, the view requires no permission.",
    ),
    "W013": (
        "required_permissions names {name!r}, which is not an action or method of the view, in: {place}.",
        "No request reads it. Use an HTTP method or an action of the viewset, such as 'destroy'.",
    ),
    "W014": (
        "{handler} is @publishable but needs {permission!r} in: {place}.",
        "Publishable keys have only 'organization.view_organization'. Require that, or decorate other methods only.",
    ),
    "W017": (
        "{name} is not read by HasOrganizationPermission or OrganizationMixin in: {place}.",
        "Did you mean {meant!r}?",
    ),
    # Rows of organizations
    "E011": (
        "organization_field should be a path from {model} to an organization, not {path!r}, in: {place}.",
        "Write it as a lookup for filter(), such as 'product__organization'. Django's error: {error}",
    ),
    "W011": (
        "OrganizationFilterBackend should be one of the filter backends in: {place}.",
        "They list the rows of every organization. Add OrganizationFilterBackend, or override get_queryset().",
    ),
    "W016": (
        "The field {name!r} of {serializer} should be read-only in: {place}.",
        "Set it from get_organization(request) in perform_create(), or with HiddenField(default=CurrentOrganizationDefault()). "
        "If clients choose the row, use OrganizationRelatedField of closient_auth.fields. For a field that is not a relation, "
        "check the organization in validate_{name}().",
    ),
    "W029": (
        "The field {name!r} of {serializer} should accept only rows of the request's organization in: {place}.",
        "Use closient_auth.fields.{cure}, or add closient_auth.mixins.OrganizationMixin to the view. A method "
        "validate_<field>() is not enough: forms list the rows, and errors tell foreign rows from unknown ones.",
    ),
    "W030": (
        "The filter {name!r} of {filterset} should offer only rows of the request's organization in: {place}.",
        "Use OrganizationDjangoFilterBackend of closient_auth.contrib.django_filters, or {cure}. Forms list the rows, and "
        "errors tell foreign rows from unknown ones.",
    ),
    "W031": (
        "The argument {name!r} of the URL should name only rows of the request's organization in: {place}.",
        "Use closient_auth.mixins.OrganizationMixin with parent_lookup_kwargs = {{{name!r}: '{parent}__pk'}}, or with "
        "organization_url_kwarg = {name!r} if the argument names the organization. Until then, the view ignores the argument, "
        "or writes below a row of another organization. If the view checks the row itself, silence this check.",
    ),
    "E015": (
        "parent_lookup_kwargs should map arguments of the URL to lookup paths of the view's model, not {value}, in: {place}.",
        "{problem}",
    ),
    "W037": (
        "shared_fields names {name!r}, which is not a relation of {model}, in: {place}.",
        "Correct the name. The relation that you mean is limited to the request's organization.",
    ),
    "W018": (
        "HasOrganizationPermission should be one of the permission classes in: {place}.",
        "IsAuthenticated admits keys of every organization. Add OrganizationFilterBackend too, or override get_queryset().",
    ),
    # The dashboard
    "W038": ("The dashboard needs {what}.", "{cure}"),
    # Caches and databases
    "E009": ("RATELIMIT_USE_CACHE should be a cache in CACHES, not {alias!r}.", "Use one of: {known}."),
    "W006": (
        "The cache {alias!r} should not count requests: it {fault}.",
        "Use django.core.cache.backends.redis.RedisCache. RATELIMIT_USE_CACHE names the cache, by default 'default'.",
    ),
    "W021": (
        "The cache {alias!r} should have OPTIONS['MAX_ENTRIES'] of at least {wanted}, not {entries}.",
        "It discards counters when it is full, and each API key needs two: then limits begin anew. Set it in CACHES, or use "
        "django.core.cache.backends.redis.RedisCache.",
    ),
    "W007": (
        "RATELIMIT_ENABLE should not be False: each process counts requests by itself, so together they exceed the limits.",
        "Remove it from the settings. To turn a limit off, set it to 0 in CLOSIENT_AUTH.",
    ),
    "W008": (
        "django_ratelimit should not be in INSTALLED_APPS: its own check rejects this cache.",
        "Remove it. Requests are counted without it, and closient_auth.W006 reports an unsuitable cache.",
    ),
    "W009": (
        "The SQLite database {alias!r} should use immediate transactions with ATOMIC_REQUESTS.",
        'Set OPTIONS = {{"transaction_mode": "IMMEDIATE"}}. Otherwise requests fail with “database is locked”.',
    ),
    "W023": (
        "CONN_MAX_AGE of the database {alias!r} should be 0 with ASGI, not {age}.",
        "Under ASGI, connections are not used again and stay open, until the database refuses more. Use a pool instead, "
        'such as OPTIONS = {{"pool": {{"max_size": 10}}}} with PostgreSQL.',
    ),
}


class Finding(NamedTuple):
    """A broken rule, its place (a view or the name of a setting) and the values for its texts."""

    id: str
    place: object = ""
    values: Mapping[str, object] = {}


def report(findings: Iterable[Finding]) -> list[CheckMessage]:
    """Return a message for each rule and set of values, with all of its places."""
    places: dict[tuple[str, tuple[tuple[str, object], ...]], set[str]] = {}
    for id, place, values in findings:
        places.setdefault((id, tuple(values.items())), set()).add(str(place))
    messages: list[CheckMessage] = []
    for (id, items), names in places.items():
        message, hint = (text.format(**dict(items), place=", ".join(sorted(names))) for text in RULES[id])
        level = Error if id.startswith("E") else Warning
        messages.append(level(message, hint=hint, id=f"closient_auth.{id}"))
    return messages
