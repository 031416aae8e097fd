"""Report refused keys and signs of a leak: log lines, signals and audit entries (OWASP ASVS 5.0, 16.3).

No line has a raw key, and no line has text of the client beyond the HTTP method and a request id. The lines are limited in
number, because everybody can send requests with a revoked key.
"""

import logging
import re
from collections import Counter, OrderedDict
from datetime import timedelta
from threading import Lock
from time import monotonic
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from closient_auth.core.responses import after_transaction
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.models.actors import Actor, acting
from closient_auth.models.audit import Event
from closient_auth.signals import api_key_refused

logger = logging.getLogger("closient_auth")

# Seconds between two lines with the same subject, and the number of subjects that are remembered.
LOG_INTERVAL = 60
MAX_SUBJECTS = 10_000
# The audit log has at most one such entry for each key in this time.
AUDIT_INTERVAL = timedelta(hours=1)

# Browsers send these headers and scripts cannot set them (Fetch Metadata). ``Sec-Fetch-Mode`` alone comes from Node.js.
BROWSER_HEADERS = ("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_USER")
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
WARNINGS = {"revoked", "browser"}

_lock = Lock()
_due: OrderedDict[object, float] = OrderedDict()
_unrecognised: Counter[str] = Counter()


def report_refusal(request: HttpRequest, api_key: ApiKey, cause: str, organization: object = None) -> None:
    """Log that a request with a known key was refused, and send ``api_key_refused``.

    This happens at most once in ``LOG_INTERVAL`` seconds for each key and cause, in each process. The use of a revoked key
    is also an audit event: it is the best sign of a leak.
    """
    if cause == "revoked":
        _audit(request, api_key, Event.REVOKED_API_KEY_USED)
    if _is_due((api_key.pk, cause)):
        _log(request, api_key, "refused", cause, organization)
        api_key_refused.send_robust(sender=ApiKey, api_key=api_key, cause=cause, request=request)


def report_browser_use(request: HttpRequest, api_key: ApiKey) -> None:
    """Log and audit a secret key in the request of a browser: everybody who can open the page can read the key."""
    if any(name in request.META for name in BROWSER_HEADERS):
        _audit(request, api_key, Event.API_KEY_USED_IN_BROWSER)
        if _is_due((api_key.pk, "browser")):
            _log(request, api_key, "exposed", "browser")


def count_unrecognised(cause: str) -> None:
    """Count a malformed or unknown key. Log the number at most once in ``LOG_INTERVAL`` seconds."""
    with _lock:
        _unrecognised[cause] += 1
    if _is_due(cause):
        with _lock:
            number = _unrecognised.pop(cause, 0)
        logger.info("api_key=refused cause=%s number=%s", cause, number)


def _is_due(subject: object) -> bool:
    """Return whether a line about the subject is due. If so, the next one is due in ``LOG_INTERVAL`` seconds."""
    now = monotonic()
    with _lock:
        if _due.get(subject, now) > now:
            return False
        _due[subject] = now + LOG_INTERVAL
        _due.move_to_end(subject)
        if len(_due) > MAX_SUBJECTS:
            _due.popitem(last=False)
        return True


def _log(request: HttpRequest, api_key: ApiKey, what: str, cause: str, organization: object = None) -> None:
    match = request.resolver_match
    fields = {
        "api_key": what,
        "cause": cause,
        "id": api_key.pk,
        "organization": organization or api_key.organization_id or "-",
        "method": request.method if REQUEST_ID.fullmatch(request.method or "") else "-",
        # The route has the names of URL arguments instead of their values.
        "route": f"/{match.route}" if match else "-",
        "request_id": _get_request_id(request),
    }
    level = logging.WARNING if cause in WARNINGS else logging.INFO
    logger.log(level, " ".join(f"{name}=%s" for name in fields), *fields.values())


def _get_request_id(request: Any) -> str:
    # Common middleware sets one of these attributes, and proxies send the header.
    for value in (
        getattr(request, "request_id", None),
        getattr(request, "id", None),
        request.META.get("HTTP_X_REQUEST_ID"),
    ):
        if value is not None and REQUEST_ID.fullmatch(str(value)):
            return str(value)
    return "-"


def _audit(request: HttpRequest, api_key: ApiKey, event: Event) -> None:
    now = timezone.now()
    latest = now - AUDIT_INTERVAL
    # Each request reads this row anyway, so a flood costs no further query.
    if api_key.exposure_reported_at is not None and api_key.exposure_reported_at > latest:
        return
    using = router.db_for_write(ApiKey)
    actor = Actor(api_key=api_key, address=request.META.get("REMOTE_ADDR") or "")

    def write() -> None:
        due = Q(exposure_reported_at=None) | Q(exposure_reported_at__lte=latest)
        try:
            with transaction.atomic(using), acting(actor):
                # The condition checks the current row, so only one of several concurrent requests writes.
                if ApiKey._base_manager.using(using).filter(due, pk=api_key.pk).update(exposure_reported_at=now):
                    AuditEntry.objects.record(event, api_key, using=using)
        except DatabaseError as error:
            # The request must get its answer also with a read-only database.
            logger.warning("audit=not_written event=%s id=%s error=%s", event, api_key.pk, type(error).__name__)

    after_transaction(request, using, write)
