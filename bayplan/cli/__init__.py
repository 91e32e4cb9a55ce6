"""The `bayplan` command: one verb per file, each a question or an act of `bayplan.app`.

`main` turns every failure into one line and an exit code; nobody sees a traceback unless $BAYPLAN_DEBUG asks for it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO, cast

import typer

from bayplan.app.errors import BadInput, Refused, Unreachable
from bayplan.cli.common import Exit
from bayplan.cli.demo import demo
from bayplan.cli.lint import lint
from bayplan.cli.map import map_
from bayplan.cli.plan import plan
from bayplan.cli.queue import queue
from bayplan.cli.replay import replay
from bayplan.cli.run import run
from bayplan.cli.simulate import simulate
from bayplan.cli.up import up
from bayplan.cli.why import why

app = typer.Typer(
    name="bayplan",
    help="Which job runs now, on exactly which GPUs, what every other job waits for, and what would help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# the class of all complaints about a command line; some versions of typer bring their own click
_USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
assert _USAGE_ERROR.__name__ == "UsageError"

app.command("demo")(demo)
app.command("up")(up)
app.command("run")(run)
app.command("plan")(plan)
app.command("why")(why)
app.command("queue")(queue)
app.command("map")(map_)
app.command("simulate")(simulate)
app.command("replay")(replay)
app.command("lint")(lint)


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
