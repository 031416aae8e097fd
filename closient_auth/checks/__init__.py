"""System checks. ``rules.py`` is the table of all rules. The other modules find the places that break a rule.

The checks read settings and classes. They send no query and open no connection, except with ``--database``.
"""

from collections.abc import Sequence
from itertools import chain

from django.core.checks import CheckMessage, Tags, register
from django.db import router

from closient_auth.checks.accounts import find_accounts
from closient_auth.checks.cached_pages import find_cached_guards, find_cached_views
from closient_auth.checks.dashboard import find_dashboard
from closient_auth.checks.declarations import find_declarations, find_gates, find_lost_headers, find_misspellings
from closient_auth.checks.filtersets import find_open_filters
from closient_auth.checks.memberships import find_unanchored
from closient_auth.checks.parents import find_mixin_attributes, find_parents
from closient_auth.checks.policies import find_policies
from closient_auth.checks.routes import get_routes
from closient_auth.checks.rows import find_rows
from closient_auth.checks.rules import report
from closient_auth.checks.serializers import clear_fields, find_open_fields
from closient_auth.checks.settings import find_proxies, find_settings, has_valid_settings
from closient_auth.checks.stores import find_caches, find_connections, find_databases, has_networks
from closient_auth.checks.versions import find_versions
from closient_auth.checks.views import get_guarded_views, get_views
from closient_auth.models import ApiKey


def register_checks() -> None:
    """Register the checks. A second call changes nothing."""
    # ``Tags.database`` is for checks with a connection. Django runs those only on request.
    register(check_settings, Tags.compatibility)
    # The rules of the cache depend on the views, and one function for both reads the URLconf only once.
    register(check_views, Tags.security, Tags.caches)
    # Django runs this one for ``check --database`` and ``migrate``.
    register(check_rows, Tags.database)


def check_settings(**kwargs: object) -> list[CheckMessage]:
    """Check ``settings.CLOSIENT_AUTH``, ``settings.DATABASES`` and the version of Django."""
    return report(chain(find_settings(), find_databases(), find_versions()))


def check_rows(databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Check the networks of keys and the organizations of a project's teams. This sends queries to the database of the keys."""
    alias = router.db_for_write(ApiKey)
    if alias not in (databases or ()) or not has_valid_settings():
        return []
    of_proxies = list(find_proxies())
    findings = of_proxies if of_proxies and has_networks(alias) else []
    return report([*findings, *find_unanchored(alias)])


def check_views(**kwargs: object) -> list[CheckMessage]:
    """Check the views of the URLconf, the defaults of REST framework, the cache of the limits and the connections."""
    routes = get_routes()
    views, guarded = get_views(routes), get_guarded_views(routes)
    of_rows = [find_rows, find_open_fields, find_open_filters, find_parents, find_mixin_attributes]
    rules, of_guards = (
        [find_misspellings, *of_rows, find_cached_views, find_accounts],
        [find_cached_guards, find_lost_headers],
    )
    # Permissions are compared with those of ``CLOSIENT_AUTH``, which has its own messages.
    if has_valid_settings():
        rules.append(find_declarations)
        of_guards.append(find_gates)
    findings = chain(
        find_policies(views, guarded),
        (finding for view in views for find in rules for finding in find(view)),
        (finding for guard in guarded for find in of_guards for finding in find(guard)),
        find_dashboard(routes),
        find_caches(views, guarded),
        find_connections([*(view for view in views if view.takes_keys), *guarded]),
    )
    try:
        return report(findings)
    finally:
        clear_fields()
