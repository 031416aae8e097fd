"""The steps of one request. No module here imports REST framework or another API framework; their adapters call it."""
