"""RE2 regular expressions (https://github.com/google/re2/wiki/Syntax), safe from any pattern and any text.

A pattern is parsed by RE2's rules (no backreferences, no lookaround), then run by whichever of two engines is
right: Python's `re`, when a bound computed from the pattern says that backtracking stays cheap on this text, else a
simulation of all alternatives at once, whose time is linear in the text.
"""

from bayplan.cel.re2.pattern import Pattern, Span, WorkError, compile
from bayplan.cel.re2.syntax import PatternError

__all__ = ["Pattern", "PatternError", "Span", "WorkError", "compile"]
