# The scheduler without a shell, a package manager or root: what is installed is what runs.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bayplan ./bayplan
RUN python -m pip install --no-cache-dir --target /app .

FROM gcr.io/distroless/python3-debian12:nonroot
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "bayplan"]
CMD ["scheduler", "--listen=0.0.0.0:8080"]
