# The report in a container: docker build -t transfer-report . && docker run -v "$PWD/build:/report/build" transfer-report
# Untested here: no Docker engine was at hand.
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /report
COPY . .
RUN make .venv/.report
CMD ["make", "report"]
