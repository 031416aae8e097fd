"""
The views do not set ``required_permissions``, so the defaults apply: all members may read, and members with
``contribute_organization`` may write. ``OrganizationMixin`` keeps them to the rows of the organization.
"""

from __future__ import annotations

from rest_framework.generics import ListCreateAPIView, RetrieveUpdateDestroyAPIView

from closient_auth.decorators import publishable
from closient_auth.mixins import OrganizationMixin
from products.models import Offer, Product
from products.serializers import OfferSerializer, ProductSerializer


@publishable
class ProductList(OrganizationMixin, ListCreateAPIView):
    queryset = Product.objects.all()
    serializer_class = ProductSerializer


@publishable
class ProductDetail(OrganizationMixin, RetrieveUpdateDestroyAPIView):
    queryset = Product.objects.all()
    serializer_class = ProductSerializer
    http_method_names = ["get", "patch", "delete", "head", "options"]


@publishable
class OfferList(OrganizationMixin, ListCreateAPIView):
    organization_field = "product__organization"
    parent_lookup_kwargs = {"pk": "product__pk"}
    queryset = Offer.objects.all()
    serializer_class = OfferSerializer
