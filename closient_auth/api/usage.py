from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import OrganizationScopedViewSet
from closient_auth.conf import conf
from closient_auth.exceptions import Conflict
from closient_auth.models import ApiKey
from closient_auth.roles import Permission
from closient_auth.usage.history import INTERVALS, read_total


class OrganizationUsageViewSet(OrganizationScopedViewSet):
    tag, noun = "usage", "the usage of the organization's keys"
    verbs = {"usage": "Get"}
    serializer_class = serializers.UsageSerializer
    operations = {"usage": {"parameters": [serializers.UsageQuerySerializer]}}
    required_permissions = Permission.MANAGE_API_KEYS

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.filter(organization=self.organization)

    def get_families(self) -> Collection[UUID]:
        return {*self.get_rows().values_list("family", flat=True)}

    def usage(self, request: Request, **kwargs: str) -> Response:
        """Count the requests of each interval, from `from` up to `to`; by default, the last 30 days by day (UTC).

        `requests` were within the limits, whatever the response was. `refused` were over a limit (429). The range is
        extended to whole intervals. It has at most 31 days by hour and 400 days by day.
        """
        query = serializers.UsageQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        families = self.get_families()
        if not conf.USAGE_HISTORY:
            raise Conflict(_("The usage history is turned off."), "usage_history_off")
        interval = query.validated_data["interval"]
        points = read_total(families, **query.validated_data)
        usage = {
            "start": points[0].start,
            "end": points[-1].start + timedelta(hours=INTERVALS[interval]),
            "interval": interval,
            "requests": sum(point.requests for point in points),
            "refused": sum(point.refused for point in points),
            "points": points,
        }
        return Response(self.get_serializer(usage).data)


class KeyUsageViewSet(OrganizationUsageViewSet):
    noun = "the usage of a key"

    def get_families(self) -> Collection[UUID]:
        return [self.get_object().family]
