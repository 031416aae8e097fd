"""Rules of installed versions."""

from collections.abc import Iterator

import django

from closient_auth.checks.rules import Finding

# The first patch of each series without known security holes in the parsing of headers (CVE-2026-3902, CVE-2026-84429).
# pip cannot require a patch of each series, so the requirement of the package covers only the oldest series.
SAFE_PATCHES = {(5, 2): 18, (6, 0): 9, (6, 1): 2}


def find_versions() -> Iterator[Finding]:
    """Find a patch release of Django with known security holes."""
    series, patch = django.VERSION[:2], django.VERSION[2]
    safe = SAFE_PATCHES.get(series, 0)
    if patch < safe:
        yield Finding("W019", values={"wanted": ".".join(map(str, (*series, safe))), "installed": django.get_version()})
