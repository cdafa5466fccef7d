# Locust with sioload as an unprivileged user: what Locust's Kubernetes operators expect of an image. Run it with
# the scenario mounted, e.g.
#   docker build -t sioload .
#   docker run --rm -v "$PWD/locustfiles:/load:ro" sioload -f echo.py --headless -u 10 -t 30s --host http://...
#   docker run --rm --entrypoint sioload sioload doctor http://...
FROM python:3.12-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY sioload ./sioload
RUN python -m venv /opt/sioload && /opt/sioload/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --home-dir /load --shell /usr/sbin/nologin load \
 && install -d -o load -g load /load /out
COPY --from=build /opt/sioload /opt/sioload
ENV PATH=/opt/sioload/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /load
EXPOSE 8089 5557 9646
ENTRYPOINT ["locust"]
CMD ["--help"]
