"""The `bayplan` command: one verb per file, each a question or an act of `bayplan.app`.

`main` turns every failure into one line and an exit code; nobody sees a traceback unless $BAYPLAN_DEBUG asks for it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TextIO, cast

import typer
import typer.main
from typer.core import TyperGroup

from bayplan.app.errors import BadInput, Refused, Unreachable
from bayplan.cli.common import Exit

VERBS = {
    "demo": "demo:demo",
    "up": "up:up",
    "run": "run:run",
    "plan": "plan:plan",
    "why": "why:why",
    "queue": "queue:queue",
    "map": "map:map_",
    "waste": "waste:waste",
    "simulate": "simulate:simulate",
    "replay": "replay:replay",
    "lint": "lint:lint",
    "scheduler": "scheduler:scheduler",
    "install": "install:install",
}
"""Every verb, in the order of the help, and its `module:function` below this package."""


class _Verbs(TyperGroup):
    """Imports a verb when it is called: `why` need not wait for all that `up` is made of."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        module, _, function = VERBS[cmd_name].partition(":")
        verb = typer.Typer(add_completion=False, context_settings=_HELP)
        verb.command(cmd_name)(getattr(import_module(f"bayplan.cli.{module}"), function))
        return typer.main.get_command(verb)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except _USAGE_ERROR as error:
            close = get_close_matches(args[0], VERBS, n=1)
            if close:
                error.message = f"No such command '{args[0]}'. Did you mean '{close[0]}'?"
            raise


_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="bayplan",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)

# the class of all complaints about a command line; some versions of typer bring their own click
_USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
assert _USAGE_ERROR.__name__ == "UsageError"


@app.callback()
def bayplan() -> None:
    """Which job runs now, on exactly which GPUs, what every other job waits for, and what would help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's own) and returns its exit code."""
    _never_fail_on_output(sys.stdout, sys.stderr)
    try:
        code = app(list(arguments) if arguments is not None else None, prog_name="bayplan", standalone_mode=False)
    except _USAGE_ERROR as error:
        said = error.format_message()
        return _fail(Exit.BAD_INPUT, said) if said.strip() else Exit.OK  # a bare `bayplan` has shown its help
    except BadInput as error:
        return _fail(Exit.BAD_INPUT, str(error))
    except Unreachable as error:
        return _fail(Exit.UNREACHABLE, str(error))
    except Refused as error:
        return _fail(_refusal(error), str(error))
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has had enough; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        if os.environ.get("BAYPLAN_DEBUG"):
            traceback.print_exc()
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return _fail(Exit.OUR_FAULT, f"a defect in bayplan: {said} (BAYPLAN_DEBUG=1 shows where)")
    return code if isinstance(code, int) else Exit.OK


def _refusal(error: Refused) -> Exit:
    """An object the API server does not take was bad input; anything else is between it and us."""
    return Exit.BAD_INPUT if error.status_code in (400, 409, 422) else Exit.UNREACHABLE


def _fail(code: Exit, message: str) -> int:
    print(f"bayplan: {' '.join(message.split())}", file=sys.stderr)
    return code


def _never_fail_on_output(*streams: TextIO) -> None:
    """A terminal that cannot show a character gets a question mark, not an exception."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
