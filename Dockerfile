# runwatch's long-running parts (`runwatch process`, `sink`, `alert` and `console`) and its command line.
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
# An environment of its own, so that the image below takes it over as one folder.
RUN python -m venv /opt/runwatch \
 && /opt/runwatch/bin/pip install --no-cache-dir --disable-pip-version-check '.[processors,sinks,alerts,console]'

FROM python:3.12-slim
RUN useradd --system --create-home --uid 10001 runwatch
COPY --from=build /opt/runwatch /opt/runwatch
ENV PATH=/opt/runwatch/bin:$PATH PYTHONUNBUFFERED=1
USER runwatch
WORKDIR /home/runwatch
ENTRYPOINT ["runwatch"]
CMD ["--help"]
