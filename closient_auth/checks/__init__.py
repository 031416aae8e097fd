"""
System checks. They read settings and import what Django imports anyway: no query, no connection.

``E``: something is open, or cannot work. ``W``: it works, and in a way that is rarely meant.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from closient_auth.checks import authentication, permissions, rows, settings, stores


def register_checks() -> None:
    """Register all of them; once more changes nothing."""
    register(settings.check_settings, Tags.compatibility)
    register(settings.check_owner_permissions, Tags.compatibility)
    register(authentication.check_keys_are_taken, Tags.security)
    register(authentication.check_authenticator_order, Tags.security)
    register(authentication.check_default_permission, Tags.security)
    register(authentication.check_throttle, Tags.security)
    register(permissions.check_open_views, Tags.security)
    register(permissions.check_staff_permissions, Tags.security)
    register(permissions.check_compositions, Tags.security)
    register(permissions.check_required_permissions, Tags.security)
    register(permissions.check_attributes, Tags.security)
    register(rows.check_lists, Tags.security)
    register(rows.check_members, Tags.security)
    register(rows.check_organization_fields, Tags.security)
    register(rows.check_serializers, Tags.security)
    register(stores.check_limit_cache, Tags.caches)
    register(stores.check_ratelimit_app, Tags.caches)
    # Not ``Tags.database``, whose checks may connect and so run only when asked to.
    register(stores.check_sqlite_transactions, Tags.compatibility)
