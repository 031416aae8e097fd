from django.contrib import admin

from tracker.models import Project, Report, Tag

admin.site.register([Project, Report, Tag])
