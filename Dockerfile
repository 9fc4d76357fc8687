# The portal in one image; what a container is (web, worker, root worker, beat) is its command. See compose.yaml.
FROM python:3.13-slim-trixie AS build
WORKDIR /portal
COPY pyproject.toml uv.lock ./
RUN python -m venv .venv && .venv/bin/pip install --quiet --no-cache-dir uv \
 && .venv/bin/uv sync --quiet --frozen --no-dev --inexact && .venv/bin/pip uninstall --quiet --yes uv
COPY . .
# Static files are part of the image: the manifest that pages are made with must be that of the files served.
RUN DEBUG=0 SECRET_KEY="$(head -c 48 /dev/urandom | base64 -w0)" KEY_ENCRYPTION_KEY="$(head -c 48 /dev/urandom | base64 -w0)" \
    .venv/bin/python manage.py collectstatic --noinput --verbosity 0

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --home-dir /portal portal
COPY --from=build /portal /portal
WORKDIR /portal
ENV PATH=/portal/.venv/bin:$PATH PYTHONUNBUFFERED=1 LOG_FORMAT=json VAR_DIR=/var/lib/portal
RUN install -d -o portal -g portal -m 0700 /var/lib/portal
USER portal
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["granian", "--interface", "asgi", "--no-ws", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
     "--backlog", "4096", "--backpressure", "4096", "--no-access-log", "cssm.asgi:application"]
