"""
The catalogue. Nothing below says which permission it needs, so the defaults hold: reading is for every member, writing
for those who contribute. Rows of other organizations are not there (404), whoever asks.
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
        """Return the product of the URL, or answer 404 for one of another organization as for one that never was."""
        products = Product.objects.filter(organization=get_organization(self.request))
        return get_object_or_404(products, pk=self.kwargs["pk"])
