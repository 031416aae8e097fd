"""A process that counts requests, or collects them: ``python -m tests.usage.process count <number> <id of a key>...``."""

from __future__ import annotations

import sys
import time

import django

django.setup()


import time_machine  # noqa: E402
from django.core.signals import request_finished  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from closient_auth.core.rates import count_key  # noqa: E402
from closient_auth.limits import redis  # noqa: E402
from closient_auth.models import ApiKey  # noqa: E402
from closient_auth.usage import buffer  # noqa: E402
from closient_auth.usage.collection import collect  # noqa: E402

# A machine that is busy with four processes must not look like an outage.
redis.TIMEOUT, redis.BUDGET = 1, 4


def count(number, *ids):
    # The processes write at the same time, and often.
    buffer.WRITE_INTERVAL = 0.2
    api_keys, request = list(ApiKey.objects.filter(pk__in=ids).order_by("pk")), RequestFactory().get("/")
    for index in range(int(number)):
        count_key(request, api_keys[index % len(api_keys)])
        request_finished.send(sender=None)


def collect_later():
    with time_machine.travel(time.time() + 3600):
        print(collect())


if __name__ == "__main__":
    count(*sys.argv[2:]) if sys.argv[1] == "count" else collect_later()
