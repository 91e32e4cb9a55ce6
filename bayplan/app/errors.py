"""What can go wrong between a person and a cluster, each with one line to say it."""

from __future__ import annotations


class BadInput(Exception):
    """Something a person wrote is wrong: `source` is a file or an option, `field` a path in it ("" = all of it)."""

    def __init__(self, source: str, field: str, message: str) -> None:
        self.source, self.field, self.message = source, field, message
        super().__init__(": ".join(part for part in (source, field, message) if part))


class Unreachable(Exception):
    """There is no cluster to talk to, or it does not answer."""


class Refused(Exception):
    """The cluster answered, and it is no: `status_code` as in HTTP, the message the API server's own."""

    def __init__(self, status_code: int, message: str) -> None:
        self.status_code = status_code
        super().__init__(message)
