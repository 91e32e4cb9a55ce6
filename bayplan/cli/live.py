"""What `up` and `demo` show while a cluster runs: a calm picture on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bayplan.app.running import Seen
from bayplan.app.views.map import Totals
from bayplan.app.views.queue import QueueView
from bayplan.app.views.status import Happening, Pool, Status
from bayplan.cli.common import console
from bayplan.cli.draw import waste
from bayplan.cli.queue import queue_picture
from bayplan.cli.words import clock, count

REFRESH_S = 0.5
LINE_S = 5.0  # between lines where nobody watches
WAITING_MAX, NEWS_MAX = 6, 6
_BAR = 30
_VERBS = {"started": "green", "evicted": "yellow"}


class Frame(NamedTuple):
    """One moment, ready to be drawn."""

    title: str
    status: Status
    queue: QueueView
    news: tuple[Happening, ...]
    hint: str
    trouble: str = ""


def watch(title: str, hint: str, look: Callable[[], Seen | None], done: Callable[[], bool]) -> None:
    """Shows the cluster until `done`, or Ctrl-C."""
    out = console()
    news: deque[Happening] = deque(maxlen=NEWS_MAX)
    if out.is_terminal:
        _draw(out, title, hint, look, done, news)
    else:
        _tell(title, look, done)


def _draw(
    out: Console,
    title: str,
    hint: str,
    look: Callable[[], Seen | None],
    done: Callable[[], bool],
    news: deque[Happening],
) -> None:
    pause = threading.Event()
    with Live(console=out, auto_refresh=False, transient=True) as live:
        while not done():
            seen = look()
            if seen is not None:
                news.extend(seen.news)
                frame = Frame(title, seen.status, seen.queue, tuple(news), hint, seen.trouble)
                live.update(frame_picture(frame, out.width), refresh=True)
            pause.wait(REFRESH_S)


def _tell(title: str, look: Callable[[], Seen | None], done: Callable[[], bool]) -> None:
    pause, told_s = threading.Event(), 0.0
    print(title, flush=True)
    while not done():
        if time.monotonic() - told_s >= LINE_S:
            seen = look()
            if seen is not None:
                told_s = time.monotonic()
                print(status_line(seen.status, seen.trouble), flush=True)
        pause.wait(REFRESH_S)
    sys.stdout.flush()


def status_line(status: Status, trouble: str = "") -> str:
    """One line for a log."""
    t = status.totals
    used = f"{t.used_milli // 1000:,} of {t.gpus:,} GPUs in use ({_percent(t)} %)"
    line = f"{clock(status.now_s, status.now_s)}  {status.running:,} running, {status.waiting:,} waiting, {used}"
    return f"{line}, waste {waste(t)}" + (f"; {trouble}" if trouble else "")


def frame_picture(frame: Frame, width: int) -> RenderableType:
    """The picture of one moment."""
    s = frame.status
    head = Text().append(frame.title, style="bold").append(f"   {clock(s.now_s, s.now_s)}", style="dim")
    sums = f"{count(s.running, 'workload')} running, {s.waiting:,} waiting"
    parts: list[RenderableType] = [head, Text(), _pools(s.pools, width), Text()]
    parts += [_row("waste", waste(s.totals)), _row("work", sums), Text()]
    shown = top_of(frame.queue)
    if shown.rows:
        parts += [queue_picture(shown, width), Text()]
    parts += [_news(h) for h in frame.news]
    if frame.trouble:
        parts += [Text(), Text(frame.trouble, style="red")]
    return Group(*parts, Text(), Text(frame.hint, style="dim"))


def top_of(view: QueueView) -> QueueView:
    """The first of every queue who really wait, as many as fit."""
    waiting = [r for r in view.rows if r.state != "starting"]
    rows = sorted(waiting, key=lambda r: (r.position, r.queue))[:WAITING_MAX]
    return QueueView(now_s=view.now_s, rows=tuple(rows), waiting=view.waiting, running=view.running)


def _pools(pools: tuple[Pool, ...], width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("POOL", style="bold", no_wrap=True)
    table.add_column("GPU", no_wrap=True)
    table.add_column("IN USE", no_wrap=True)
    for head in ("WHOLE", "SLICED", "FREE", "STRANDED"):
        table.add_column(head, justify="right", no_wrap=True)
    for pool in pools:
        t = pool.totals
        bar = _bar(t, _BAR if width >= 100 else 12)
        figures = (f"{t.whole:,}", f"{t.slice:,}", f"{t.free:,}", f"{t.stranded:,}")
        table.add_row(pool.name, f"{t.gpus:,} × {pool.model}", bar, *figures)
    return table


def _bar(t: Totals, width: int) -> Text:
    """Whole cards, cut cards, the rest."""
    whole = round(width * t.whole / t.gpus) if t.gpus else 0
    cut = min(width - whole, -(-width * t.slice // t.gpus)) if t.gpus else 0
    bar = Text().append("■" * whole, style="cyan").append("▤" * cut, style="yellow")
    return bar.append("·" * (width - whole - cut), style="dim").append(f" {_percent(t):>3} %")


def _percent(t: Totals) -> int:
    return round(t.used_milli / 10 / t.gpus) if t.gpus else 0


def _news(happening: Happening) -> Text:
    text = Text().append(clock(happening.at_s, happening.at_s), style="dim").append("  ")
    text.append(happening.what, style=_VERBS.get(happening.what, "")).append(f"  {happening.name}")
    return text.append(f" ({happening.queue}) {happening.detail}", style="dim")


def _row(label: str, text: str) -> Text:
    return Text().append(f"{label:<7}", style="dim").append(text)
