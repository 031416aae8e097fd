from rest_framework import serializers

from tenancy.models import Organization
from tracker.models import Project, Report, Tag


class OrganizationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "name"]


class ProjectSerializer(serializers.ModelSerializer):
    class Meta:
        model = Project
        fields = ["id", "name"]

    def validate_name(self, name):
        same = Project.objects.filter(organization=self.context["view"].organization_id, name=name)
        if same.exclude(pk=self.instance and self.instance.pk).exists():
            raise serializers.ValidationError("The organization has a project with this name.")
        return name


class TagSerializer(serializers.ModelSerializer):
    class Meta:
        model = Tag
        fields = ["id", "name"]


class ReportSerializer(serializers.ModelSerializer):
    class Meta:
        model = Report
        fields = ["id", "title", "tags"]

    def validate_tags(self, tags):
        if any(tag.organization_id != self.context["view"].organization_id for tag in tags):
            raise serializers.ValidationError("This tag does not exist.")
        return tags
