from django.contrib import admin

from planning.models import Project, Task


class TaskInline(admin.TabularInline):
    model = Task
    extra = 0


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ["name", "team", "budget"]
    list_filter = ["team"]
    inlines = [TaskInline]
