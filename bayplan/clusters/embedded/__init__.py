"""An API server on a laptop: the store with Kubernetes' semantics, and the same store over HTTP for stock kubectl.

Everything here works on plain JSON dicts. Start reading at `store`.
"""

from bayplan.clusters.embedded.errors import ApiError, FieldError
from bayplan.clusters.embedded.records import Change, Record
from bayplan.clusters.embedded.store import Store

__all__ = ["ApiError", "Change", "FieldError", "Record", "Store"]
