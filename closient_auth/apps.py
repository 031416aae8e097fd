"""The Django app configuration."""

from importlib import import_module

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class ClosientAuthConfig(AppConfig):
    """Register the system checks, the signals of a project's own teams, and the extension of ``drf_spectacular`` if it is installed."""

    name = "closient_auth"
    verbose_name = _("Organizations and API keys")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The checks import the models, so the app registry should be ready.
        from closient_auth.checks import register_checks
        from closient_auth.models.anchors import connect_signals

        register_checks()
        connect_signals()
        if apps.is_installed("drf_spectacular"):
            import_module("closient_auth.contrib.spectacular")
