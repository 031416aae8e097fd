"""
The views do not set ``required_permissions``, so the defaults apply: all members may read, and members with
``contribute_organization`` may write. Rows of other organizations return 404.
"""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.generics import ListCreateAPIView, RetrieveUpdateDestroyAPIView, get_object_or_404
from rest_framework.serializers import BaseSerializer

from closient_auth.decorators import publishable
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from products.models import Offer, Product
from products.serializers import OfferSerializer, ProductSerializer


@publishable
class ProductList(ListCreateAPIView):
    permission_classes = [HasOrganizationPermission]
    queryset = Product.objects.all()
    serializer_class = ProductSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(organization=get_organization(self.request))


@publishable
class ProductDetail(RetrieveUpdateDestroyAPIView):
    permission_classes = [HasOrganizationPermission]
    queryset = Product.objects.all()
    serializer_class = ProductSerializer
    http_method_names = ["get", "patch", "delete", "head", "options"]


@publishable
class OfferList(ListCreateAPIView):
    permission_classes = [HasOrganizationPermission]
    organization_field = "product__organization"
    queryset = Offer.objects.all()
    serializer_class = OfferSerializer

    def filter_queryset(self, queryset: QuerySet[Offer]) -> QuerySet[Offer]:
        return super().filter_queryset(queryset).filter(product=self.get_product())

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(product=self.get_product())

    def get_product(self) -> Product:
        """Return the product of the URL. Raise 404 if it does not exist or belongs to another organization."""
        products = Product.objects.filter(organization=get_organization(self.request))
        return get_object_or_404(products, pk=self.kwargs["pk"])
