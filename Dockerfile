# The scheduler without a shell, a package manager or root: what is installed is what runs.
# Both stages are of one Debian and one Python: the wheels chosen in the first have to load in the second.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY examples/fleet.yaml ./examples/
COPY bayplan ./bayplan
RUN python -m pip install --no-cache-dir --target /app '.[solver]'

FROM gcr.io/distroless/python3-debian13:nonroot
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "bayplan"]
CMD ["scheduler", "--listen=0.0.0.0:8080"]
