"""The steps of one request. No module here imports a web framework; the face of each framework calls them."""
