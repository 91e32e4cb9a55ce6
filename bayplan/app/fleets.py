"""Fleet files: the one that comes with Bayplan, and those people write."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bayplan.app.errors import BadInput
from bayplan.clusters.simulator import Fleet, read_fleet
from bayplan.wire.errors import Malformed

_HERE = Path(__file__).parent
# in a wheel the example lies beside this file, in a checkout where people look for examples
_EXAMPLES = (_HERE / "fleet.yaml", _HERE.parents[1] / "examples" / "fleet.yaml")


def example_fleet() -> Fleet:
    """The mixed fleet of a few hundred nodes, with its teams and their work."""
    found = next((path for path in _EXAMPLES if path.is_file()), None)
    assert found is not None, "the example fleet is part of every installation"
    return load_fleet(found)


def load_fleet(path: Path) -> Fleet:
    """The fleet file at `path`. Raises BadInput."""
    try:
        return read_fleet(path)
    except Malformed as error:
        raise BadInput("", "", str(error)) from error
    except UnicodeDecodeError as error:
        raise BadInput(str(path), f"byte {error.start}", "expected UTF-8 text") from error
    except OSError as error:
        raise BadInput(str(path), "", error.strerror or "cannot be read") from error


def without_work(fleet: Fleet) -> Fleet:
    """The fleet alone: nobody submits anything but you."""
    return msgspec.structs.replace(fleet, work=())
