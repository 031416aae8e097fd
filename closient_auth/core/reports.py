"""Report refused keys and signs of a leak: log lines, signals and audit entries (OWASP ASVS 5.0, 16.3).

The lines contain no raw key, and no text of the client except the HTTP method and a request id. Their number is limited,
because anybody can send requests with a revoked or publishable key.
"""

import logging
import re
from collections import Counter, OrderedDict
from datetime import timedelta
from threading import Lock
from time import monotonic
from typing import Any

from django.db import Error, router, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from closient_auth.core.client_address import get_client_address
from closient_auth.core.responses import after_transaction
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.models.actors import Actor, acting
from closient_auth.models.audit import Event
from closient_auth.redaction import redact_api_keys
from closient_auth.signals import api_key_refused

logger = logging.getLogger("closient_auth")

# Seconds between two lines about one subject, and the number of subjects that are remembered.
LOG_INTERVAL = 60
MAX_SUBJECTS = 10_000
# The audit log has at most one entry about a sign of a leak for each key in this time.
AUDIT_INTERVAL = timedelta(hours=1)

# Browsers send these headers, and scripts cannot set them (Fetch Metadata). Node.js sends ``Sec-Fetch-Mode`` alone.
BROWSER_HEADERS = ("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_USER")
METHOD = re.compile(r"[A-Z]{1,16}")
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
WARNINGS = {"revoked", "browser", "network", "malformed_permissions"}
# A filter of the host can read the fields by name from ``record.args``.
LINE = (
    "api_key=%(api_key)s cause=%(cause)s id=%(id)s organization=%(organization)s method=%(method)s route=%(route)s "
    "request_id=%(request_id)s"
)

_lock = Lock()
# The time at which the next line about a subject is due; the oldest subjects first.
_due: OrderedDict[object, float] = OrderedDict()
_unrecognised: Counter[str] = Counter()


def report_refusal(request: HttpRequest, api_key: ApiKey, cause: str, organization: object = None) -> None:
    """Log that a request with a known key was refused, and send ``api_key_refused``.

    Do this at most once in ``LOG_INTERVAL`` seconds for each key and cause, in each process. ``organization`` is the id of
    the request's organization, by default that of the key. The use of a revoked key is also an audit event, because it is
    the best sign of a leak.
    """
    if cause == "revoked":
        _audit(request, api_key, Event.REVOKED_API_KEY_USED)
    if is_due((api_key.pk, cause)):
        _log(request, api_key, "refused", cause, organization)
        api_key_refused.send_robust(sender=ApiKey, api_key=api_key, cause=cause, request=request)


def report_browser_use(request: HttpRequest, api_key: ApiKey) -> None:
    """Log and audit a secret key in a request of a browser: anybody who can open the page can read the key."""
    if any(name in request.META for name in BROWSER_HEADERS):
        _audit(request, api_key, Event.API_KEY_USED_IN_BROWSER)
        if is_due((api_key.pk, "browser")):
            _log(request, api_key, "exposed", "browser")


def count_unrecognised(cause: str) -> None:
    """Count a malformed or unknown key. Log the number at most once in ``LOG_INTERVAL`` seconds."""
    with _lock:
        _unrecognised[cause] += 1
    if is_due(cause):
        with _lock:
            number = _unrecognised.pop(cause, 0)
        logger.info("api_key=refused cause=%s number=%s", cause, number)


def is_due(subject: object) -> bool:
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
    method = request.method or ""
    fields = {
        "api_key": what,
        "cause": cause,
        "id": api_key.pk,
        "organization": organization or api_key.organization_id or "-",
        "method": method if METHOD.fullmatch(method) else "-",
        "route": _get_route(request),
        "request_id": _get_request_id(request),
    }
    line = LINE
    if cause == "network":
        # Without the address, nobody can tell a moved customer, a forgotten proxy and a thief apart.
        fields["address"], line = get_client_address(request), f"{LINE} address=%(address)s"
    logger.log(logging.WARNING if cause in WARNINGS else logging.INFO, line, fields)


def _get_route(request: HttpRequest) -> str:
    # The route has the names of URL arguments, not their values. A verbose regular expression has spaces and new lines.
    match = request.resolver_match
    return "/" + "".join(char for char in match.route if char.isprintable() and char != " ") if match else "-"


def _get_request_id(request: Any) -> str:
    # Common middleware sets one of these attributes, and proxies send the header. A client may put its key there.
    for value in (
        getattr(request, "request_id", None),
        getattr(request, "id", None),
        request.META.get("HTTP_X_REQUEST_ID"),
    ):
        if value is not None and REQUEST_ID.fullmatch(text := str(value)):
            return redact_api_keys(text)
    return "-"


def _audit(request: HttpRequest, api_key: ApiKey, event: Event) -> None:
    now = timezone.now()
    latest = now - AUDIT_INTERVAL
    # The row was read for the request anyway, so a flood costs no further query. If the entry cannot be written, the next
    # attempt is due after ``LOG_INTERVAL``.
    is_recent = api_key.exposure_reported_at is not None and api_key.exposure_reported_at > latest
    if is_recent or not is_due((api_key.pk, event)):
        return
    using = router.db_for_write(ApiKey)
    actor = Actor(api_key=api_key, address=get_client_address(request))

    def write() -> None:
        due = Q(exposure_reported_at=None) | Q(exposure_reported_at__lte=latest)
        try:
            with transaction.atomic(using), acting(actor):
                # The condition checks the current row, so only one of several concurrent requests writes.
                if ApiKey._base_manager.using(using).filter(due, pk=api_key.pk).update(exposure_reported_at=now):
                    AuditEntry.objects.record(event, api_key, using=using)
        except Error as error:
            # The request must get its response also with a read-only database.
            logger.warning("audit=not_written event=%s id=%s error=%s", event, api_key.pk, type(error).__name__)

    after_transaction(request, using, write)
