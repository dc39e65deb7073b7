"""The API: FastAPI over MongoDB, Redis and Elasticsearch. Start it from `stack.service.main`."""
