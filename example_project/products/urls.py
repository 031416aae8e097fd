from __future__ import annotations

from django.urls import path

from products.views import OfferList, ProductDetail, ProductList

app_name = "products"
urlpatterns = [
    path("products", ProductList.as_view(), name="product-list"),
    path("products/<str:pk>", ProductDetail.as_view(), name="product-detail"),
    path("products/<str:pk>/offers", OfferList.as_view(), name="offer-list"),
]
