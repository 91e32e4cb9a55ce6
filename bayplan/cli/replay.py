"""`bayplan replay JOURNAL`: the same decisions, byte for byte, or which ones differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bayplan.app.replaying import replay_journal
from bayplan.cli.common import Exit, Output, OutputOption, end, show, show_json, stderr
from bayplan.cli.words import count

_LINE_COLUMNS = 160


def replay(
    journal: Annotated[Path, typer.Argument(help="The journal of `bayplan up`: journal.gz in its data directory.")],
    output: OutputOption = Output.text,
) -> None:
    """Decide every cycle of a journal again; exit code 1 if anything differs."""
    err = stderr()
    if err.is_terminal:
        with err.status("replaying") as status:
            found = replay_journal(journal, lambda n: status.update(f"replaying cycle {n:,}"))
    else:
        found = replay_journal(journal)
    if output is Output.json:
        show_json("Replay", found)
    else:
        for different in found.differences:
            show(Text(f"cycle {different.cycle} is decided otherwise", style="bold red"))
            for sign, lines in (("then", different.then), ("now ", different.now)):
                show(*(Text(f"  {sign} {line[:_LINE_COLUMNS]}") for line in lines))
        said = f"{count(found.cycles, 'cycle')}, {count(found.decisions, 'decision')}: "
        same = "the same, byte for byte"
        show(Text(said + (f"{found.different:,} cycles differ" if found.different else same)))
    if found.different:
        end(Exit.NO)
