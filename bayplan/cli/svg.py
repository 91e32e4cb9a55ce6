"""The bay plan as a picture that stands alone: an SVG without scripts, fonts or links, for a README or a report.

One row per rack, one box per node, one square per GPU; a slice fills its square from the bottom by the share it has,
one colour per team. What is stranded is crossed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from bayplan.app.cards import Card
from bayplan.app.parts import WHOLE_MILLI
from bayplan.app.views.map import MapView, NodeRow, Rack
from bayplan.cli.draw import waste
from bayplan.cli.words import count

# Okabe and Ito's palette: told apart by colour-blind readers as well
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#666666")
_CELL, _GAP, _NODE_GAP, _ROW_GAP, _BLOCK_GAP = 12, 2, 10, 8, 18
_MARGIN, _HEAD, _LINE = 24, 64, 18
_GPUS_PER_ROW = 64
_LETTER = 7  # about the width of one at 12 pixels
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
_CSS = (
    ".t{font:600 18px %(f)s;fill:#1f2328}.l{font:12px %(f)s;fill:#57606a}.r{font:600 12px %(f)s;fill:#1f2328}"
    ".n{fill:#f6f8fa;stroke:#d0d7de}.f{fill:#fff;stroke:#afb8c1}.x{stroke:#cf222e;stroke-width:1.5}"
)


def map_svg(view: MapView) -> str:
    """The map as one SVG document."""
    colours = {team: _COLOURS[i % len(_COLOURS)] for i, team in enumerate(view.teams)}
    body: list[str] = []
    left = _MARGIN + 10 + (_LETTER + 1) * max((len(r.name) for r in view.racks), default=0)
    y, widest, block = _MARGIN + _HEAD, 0, None
    for rack in view.racks:
        if block is not None and rack.path[:-1] != block:
            y += _BLOCK_GAP
        block = rack.path[:-1]
        drawn, right, y = _rack(rack, colours, left, y)
        widest = max(widest, right)
        body += drawn
    foot = _foot(view)
    width = max(widest + _MARGIN, 640)
    height = y + _LINE * len(foot) + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-label="Bay plan">',
            f"<style>{_CSS % {'f': _FONT}}</style>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *_head(view, colours),
            *body,
            *(_text(_MARGIN, y + _LINE * (i + 1), line, "l") for i, line in enumerate(foot)),
            "</svg>\n",
        ]
    )


def _head(view: MapView, colours: Mapping[str, str]) -> Iterator[str]:
    t = view.totals
    yield _text(
        _MARGIN, _MARGIN + 14, f"{count(t.gpus, 'GPU')}: {t.whole:,} whole, {t.slice:,} cut, {t.free:,} free", "t"
    )
    x = _MARGIN
    for team, colour in colours.items():
        yield f'<rect x="{x}" y="{_MARGIN + 30}" width="{_CELL}" height="{_CELL}" rx="2" fill="{colour}"/>'
        yield _text(x + _CELL + 5, _MARGIN + 40, team, "l")
        x += _CELL + 5 + _LETTER * len(team) + 20
    for card, word in ((Card("", ""), "free"), (Card("", "", blocked="so"), "stranded")):
        yield from _square(card, colours, x, _MARGIN + 30)
        yield _text(x + _CELL + 5, _MARGIN + 40, word, "l")
        x += _CELL + 5 + _LETTER * len(word) + 20


def _foot(view: MapView) -> list[str]:
    """What stands below the picture."""
    by_model: dict[str, list[str]] = {}
    for gang in view.gangs:
        where = f"in {gang.level} {gang.domain}" if gang.level else "in the fleet"
        by_model.setdefault(gang.model, []).append(f"{gang.gpus:,} {where}")
    return [
        f"Waste: {waste(view.totals)}",
        *(f"Largest gang of {model}: {', '.join(best)}" for model, best in by_model.items()),
    ]


def _rack(rack: Rack, colours: Mapping[str, str], left: int, y: int) -> tuple[list[str], int, int]:
    """The drawing, its right edge, and where the next rack begins."""
    drawn = [_text(_MARGIN, y + _CELL - 2, rack.name, "r")]
    x, right, gpus = left, 0, 0
    for node in rack.nodes:
        if gpus and gpus + len(node.cards) > _GPUS_PER_ROW:
            x, y, gpus = left, y + _CELL + _ROW_GAP, 0
        drawn += _node(node, colours, x, y)
        x += len(node.cards) * (_CELL + _GAP) + _NODE_GAP
        gpus += len(node.cards)
        right = max(right, x)
    return drawn, right, y + _CELL + _ROW_GAP + 2


def _node(node: NodeRow, colours: Mapping[str, str], x: int, y: int) -> Iterator[str]:
    width = len(node.cards) * (_CELL + _GAP) + _GAP
    yield f"<g><title>{escape(f'{node.name} · {node.model}')}</title>"
    yield f'<rect class="n" x="{x - _GAP}" y="{y - _GAP}" width="{width}" height="{_CELL + 2 * _GAP}" rx="3"/>'
    for i, card in enumerate(node.cards):
        yield from _square(card, colours, x + i * (_CELL + _GAP), y)
    yield "</g>"


def _square(card: Card, colours: Mapping[str, str], x: int, y: int) -> Iterator[str]:
    """One GPU, filled from the bottom by its shares."""
    yield f'<rect class="f" x="{x + 0.5}" y="{y + 0.5}" width="{_CELL - 1}" height="{_CELL - 1}" rx="2"/>'
    bottom = float(y + _CELL)
    for share in card.shares:
        tall = _CELL * share.milli / WHOLE_MILLI
        bottom -= tall
        colour = colours.get(share.team, _COLOURS[-1])
        rounded = ' rx="2"' if share.milli >= WHOLE_MILLI else ""
        yield f'<rect x="{x}" y="{bottom:g}" width="{_CELL}" height="{tall:g}"{rounded} fill="{colour}"/>'
    if card.state == "stranded":
        yield f'<path class="x" d="M{x + 3} {y + 3}l6 6m0 -6l-6 6"/>'


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
