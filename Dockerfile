# One image for API, indexer and seeding. No `# syntax=` line: it would need a registry to be read.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
WORKDIR /app
# Before the code, so that a change of code does not fetch the packages again.
COPY requirements/service.txt requirements/service.txt
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/service.txt
COPY stack stack

# By number, so that it needs no user in the base image.
USER 10001:10001
EXPOSE 8000
# Each container is a replica of its own and says so in X-Served-By.
CMD ["sh", "-c", "HEADROOM_REPLICA=$(hostname) exec python -m stack.service.serve --host 0.0.0.0 --port 8000"]
