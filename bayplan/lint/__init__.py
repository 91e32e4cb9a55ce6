"""What the API would refuse and what a person would regret: validation of resource.k8s.io, advice on a fleet. Pure."""

from bayplan.lint.check import lint
from bayplan.lint.common import Gates
from bayplan.lint.rules import Finding
from bayplan.lint.validate import validate, validate_status, validate_strictly
from bayplan.lint.world import Note

__all__ = ["Finding", "Gates", "Note", "lint", "validate", "validate_status", "validate_strictly"]
