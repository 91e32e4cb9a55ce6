"""The bay plan in a terminal: one line per rack, one block per node, one sign per GPU, coloured by team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.app.cards import Card
from bayplan.app.views.map import Gang, MapView, NodeRow, Rack, Totals
from bayplan.cli.words import count, gpus

SIGNS = {"whole": "■", "slice": "▤", "free": "·", "stranded": "×"}
ASCII_SIGNS = {"whole": "#", "slice": "=", "free": ".", "stranded": "x"}
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "bright_cyan", "bright_magenta")


def colours(teams: Iterable[str]) -> dict[str, str]:
    """A colour for every team, the same as long as the teams are."""
    return {team: _COLOURS[i % len(_COLOURS)] for i, team in enumerate(teams)}


def signs_for(encoding: str) -> Mapping[str, str]:
    """The signs that a terminal of this encoding can show."""
    return SIGNS if encoding.lower().startswith("utf") else ASCII_SIGNS


def map_picture(view: MapView, width: int, *, names: bool, signs: Mapping[str, str] = SIGNS) -> RenderableType:
    """The whole map with its legend and sums; with `names`, every node is named."""
    palette = colours(view.teams)
    label = max((len(r.name) for r in view.racks), default=0)
    remarks = _remarks(view, width - label - 2, names)
    room = width - label - 2 - (0 if names else max(map(len, remarks), default=0) + 2)
    drawn = [(rack, _rack(rack, palette, room, names, signs)) for rack in view.racks]
    edge = max((len(line) for _, lines in drawn for line in lines), default=0)
    rows: list[RenderableType] = [_legend(palette, signs), Text()]
    block: tuple[str, ...] | None = None
    for (rack, lines), remark in zip(drawn, remarks, strict=True):
        if block is not None and rack.path[:-1] != block:
            rows.append(Text())
        block = rack.path[:-1]
        said = Text(remark, style="dim")
        for i, line in enumerate(lines):
            text = Text().append(f"{'' if i else rack.name:<{label}}  ", style="bold").append(line)
            if i == len(lines) - 1 and not names:
                text.append(" " * (edge - len(line) + 2)).append(said)
            rows.append(text)
        if names:
            rows.append(Text(" " * (label + 2)).append(said))
    return Group(*rows, Text(), *summary(view))


def summary(view: MapView) -> list[RenderableType]:
    """What the map adds up to."""
    t = view.totals
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    free = f"{t.free:,} free" + (f" ({t.broken:,} on nodes in use)" if t.broken else "")
    parts = [f"{t.whole:,} whole", *([f"{t.slice:,} cut in slices"] if t.slice else []), free]
    parts += [f"{t.stranded:,} stranded"] if t.stranded else []
    table.add_row(count(t.gpus, "GPU"), " · ".join(parts))
    table.add_row("waste", waste(t))
    for i, (model, gangs) in enumerate(_by_model(view.gangs).items()):
        table.add_row("" if i else "largest gang", f"{model}: {', '.join(map(_gang, gangs))}")
    return [table]


def waste(totals: Totals) -> str:
    """`3.4 GPUs: 2.4 in slices larger than asked, 1 free where nothing can use them`."""
    named = (
        (totals.quantised_milli, "in slices larger than asked"),
        (totals.oversized_milli, "given whole where less was asked"),
        (totals.stranded_milli, "free where nothing can use them"),
    )
    parts = [(milli, where) for milli, where in named if milli]
    if len(parts) == 1:
        return f"{gpus(parts[0][0])} GPUs {parts[0][1]}"
    said = ", ".join(f"{gpus(milli)} {where}" for milli, where in parts)
    return f"{gpus(totals.waste_milli)} GPUs: {said}" if parts else "none"


def cells(node: NodeRow, palette: Mapping[str, str], signs: Mapping[str, str]) -> Text:
    """One node's GPUs."""
    text = Text()
    drawn = ((signs[card.state], _style(card, palette)) for card in node.cards)
    for style, run in groupby(drawn, key=itemgetter(1)):
        text.append("".join(sign for sign, _ in run), style=style)
    return text


def _style(card: Card, palette: Mapping[str, str]) -> str:
    if card.shares:
        largest = max(card.shares, key=lambda s: s.milli)
        return palette.get(largest.team, "white")
    return "bold red" if card.state == "stranded" else "dim"


def _legend(palette: Mapping[str, str], signs: Mapping[str, str]) -> Text:
    legend = Text()
    for state, sign in signs.items():
        legend.append(f"{sign} {state}  ", style={"free": "dim", "stranded": "bold red"}.get(state, ""))
    for team, colour in palette.items():
        legend.append(f"  {signs['whole']} {team}", style=colour)
    return legend


def _remarks(view: MapView, width: int, names: bool) -> list[str]:
    """What every rack's line says behind its nodes: short where the long form would break the rows."""
    long = [_said(r.totals) for r in view.racks]
    widest = max((sum(len(n.cards) + 1 for n in r.nodes) for r in view.racks), default=0)
    if names or widest + max(map(len, long), default=0) + 1 <= width:
        return long
    return [f"{r.totals.free} of {r.totals.gpus} free" for r in view.racks]


def _rack(rack: Rack, palette: Mapping[str, str], width: int, names: bool, signs: Mapping[str, str]) -> list[Text]:
    """The nodes of a rack, in as many lines as they need."""
    blocks = [_node(node, palette, names, signs) for node in rack.nodes]
    lines = [Text()]
    for block in blocks:
        gap = ("  " if names else " ") if lines[-1] else ""
        if lines[-1] and len(lines[-1]) + len(gap) + len(block) > width:
            lines.append(Text())
            gap = ""
        lines[-1].append(gap).append(block)
    return lines


def _node(node: NodeRow, palette: Mapping[str, str], names: bool, signs: Mapping[str, str]) -> Text:
    if not names:
        return cells(node, palette, signs)
    return Text().append(f"{node.name} ", style="dim").append(cells(node, palette, signs))


def _said(totals: Totals) -> str:
    said = f"{totals.free} of {totals.gpus} free"
    intact = totals.free - totals.broken
    if totals.broken:
        said += f", {intact} on whole nodes"
    return f"{said}, waste {gpus(totals.waste_milli)} GPUs" if totals.waste_milli else said


def _gang(gang: Gang) -> str:
    where = f"in {gang.level} {gang.domain}" if gang.level else "in the fleet"
    return f"{gang.gpus:,} {where}"


def _by_model(gangs: Iterable[Gang]) -> dict[str, list[Gang]]:
    found: dict[str, list[Gang]] = {}
    for gang in gangs:
        named = found.setdefault(gang.model, [])
        if not named or gang.gpus > named[-1].gpus:  # a wider level that holds no more is no news
            named.append(gang)
    return found
