"""What the API would refuse and what a person would regret: validation of resource.k8s.io, advice on a fleet. Pure."""

from bayplan.lint.common import Gates
from bayplan.lint.rules import Finding
from bayplan.lint.validate import validate, validate_status, validate_strictly

__all__ = ["Finding", "Gates", "validate", "validate_status", "validate_strictly"]
