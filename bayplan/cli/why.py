"""`bayplan why NAME`: what it needs, the best there is, who holds the rest, when it starts, and what would help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.app import ask
from bayplan.app.views.why import Held, Sooner, Spot, Unknown, Why
from bayplan.cli.common import (
    Exit,
    KubeconfigOption,
    NamespaceOption,
    Output,
    OutputOption,
    console,
    end,
    show,
    show_json,
    stderr,
)
from bayplan.cli.words import clock, count, duration, folded, listed, ordinal, when

ANSWERS_MAX = 3  # of several workloads of one name
NODES_MAX = 8


def why(
    name: Annotated[str, typer.Argument(help="A job, a workload or a pod; KIND/NAME or NAMESPACE/NAME if need be.")],
    namespace: NamespaceOption = "",
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Why it waits, when it starts and what would make it sooner; or where it runs."""
    found = ask.why(ask.look(kubeconfig), name, namespace)
    if isinstance(found, Unknown):
        _unknown(found, namespace, output)
        return
    if output is Output.json:
        show_json("WhyList", {"items": found})
        return
    shown = alike(found)
    for i, answer in enumerate(shown[:ANSWERS_MAX]):
        show(*([Text()] if i else []), why_answer(answer, console().width))
    if len(shown) > ANSWERS_MAX:
        show(Text(), Text(f"{len(shown) - ANSWERS_MAX} more are called that", style="dim"))


def alike(answers: Iterable[Why]) -> list[Why]:
    """The answers, those that differ only in name and place as one: `chat-0 (6 alike)`."""
    groups: dict[tuple[object, ...], list[Why]] = {}
    for answer in answers:
        key = (answer.state, answer.namespace, answer.queue, answer.needs, answer.reason, answer.best, answer.since_s)
        groups.setdefault(key if answer.state not in ("succeeded", "failed") else (answer,), []).append(answer)
    return [_as_one(group) for group in groups.values()]


def _as_one(group: list[Why]) -> Why:
    first = group[0]
    if len(group) == 1:
        return first
    pods: dict[str, int] = {}
    devices: dict[str, tuple[str, ...]] = {}
    for spot in (spot for answer in group for spot in answer.where):
        pods[spot.node] = pods.get(spot.node, 0) + spot.pods
        devices[spot.node] = devices.get(spot.node, ()) + spot.devices
    where = tuple(Spot(node, many, devices[node]) for node, many in pods.items())
    return msgspec.structs.replace(first, name=f"{first.name} ({len(group)} alike)", where=where)


def why_answer(answer: Why, width: int, *, planned: bool = False) -> RenderableType:
    """One answer: its headline and what stands below it; `planned` for what does not exist yet."""
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(style="dim", no_wrap=True, min_width=6)
    lines.add_column(overflow="fold")
    for label, text in _lines(answer):
        lines.add_row(f"  {label}", text)
    return Group(_headline(answer, width, _would(answer) if planned else _doing(answer)), lines)


def _headline(answer: Why, width: int, doing: str) -> Text:
    """What it does, and at the right edge the reason's word."""
    text = Text().append(answer.name, style="bold").append(f" {doing}")
    if answer.reason:
        prospect = "never, unless something changes" if answer.state == "never" else "now, not never"
        word = f"{answer.reason} · {prospect}"
        gap = min(width, 120) - len(text) - len(word)
        text.append(" " * gap if gap >= 3 else "\n  ").append(
            word, style="red" if answer.state == "never" else "yellow"
        )
    return text


def _doing(answer: Why) -> str:
    seconds = answer.now_s - answer.since_s
    match answer.state:
        case "waiting" | "never":
            return f"waits in {answer.queue}{_place(answer)}" + (f", for {duration(seconds)}" if seconds else "")
        case "starting":
            return f"starts now in {answer.queue}" + (f", after {duration(seconds)}" if seconds else "")
        case "running":
            return f"runs in {answer.queue}, for {duration(seconds)}"
    ended = f"{clock(answer.ends_s, answer.now_s)}, {duration(answer.now_s - answer.ends_s)} ago"
    return f"{answer.state} at {ended}"


def _would(answer: Why) -> str:
    if answer.state == "starting":
        return f"would start now in {answer.queue}"
    return f"would wait in {answer.queue}{_place(answer)}"


def _place(answer: Why) -> str:
    return f", {ordinal(answer.position)} of {answer.of}" if answer.of > 1 else ""


def _lines(answer: Why) -> Iterator[tuple[str, RenderableType]]:
    if answer.needs:
        yield "needs", answer.needs
    if answer.best:
        yield "best", answer.best
    for other in answer.also:
        yield "or", other
    for i, held in enumerate(answer.holders):
        yield "" if i else "held by", _held(held, answer.now_s)
    yield from _starts(answer)
    for i, offer in enumerate(answer.sooner):
        yield "" if i else "sooner", _sooner(offer)
    yield from _where(answer)
    for i, said in enumerate(answer.apart[:NODES_MAX]):
        yield "" if i else "apart", said
    if answer.state == "running":
        yield (
            "ends",
            f"about {when(answer.ends_s, answer.now_s)}" if answer.ends_s else "not known: no run time declared",
        )
    if answer.message:
        yield "says", answer.message


def _starts(answer: Why) -> Iterator[tuple[str, RenderableType]]:
    if answer.state == "never":
        yield "starts", Text("never as it is", style="red")
    elif answer.state == "waiting":
        if not answer.start_s:
            yield "starts", "not known: what it waits for has no declared end"
        else:
            early = f" ({clock(answer.early_s, answer.now_s)} at the earliest)" if _is_range(answer) else ""
            after = f", after {listed(answer.after, 3)}" if answer.after else ""
            yield "starts", Text().append(when(answer.start_s, answer.now_s), style="bold").append(early + after)


def _is_range(answer: Why) -> bool:
    return clock(answer.early_s, answer.now_s) != clock(answer.start_s, answer.now_s)


def _held(held: Held, now_s: int) -> str:
    until = f", until about {clock(held.until_s, now_s)}" if held.until_s else ", end not known"
    queue = f" ({held.queue})" if held.queue else ""
    return f"{held.name}{queue}: {held.amount}{until}"


def _sooner(offer: Sooner) -> Text:
    text = Text().append("now", style="green").append(f"  {offer.change}")
    if offer.domain:
        text.append(f", in {offer.domain}")
    if offer.evicts:
        lost = f", {duration(offer.lost_s)} of work" if offer.lost_s else ""
        text.append(f": evicts {listed(offer.evicts)}{lost}")
    return text


def _where(answer: Why) -> Iterator[tuple[str, RenderableType]]:
    if not answer.where:
        return
    domain = f" in {answer.domain}" if answer.domain else ""
    for i, spot in enumerate(answer.where[:NODES_MAX]):
        yield "" if i else "where", _spot(spot) + (domain if not i else "")
    left = answer.where[NODES_MAX:]
    if left:
        yield "", f"and {count(len(left), 'node')} more"


def _spot(spot: Spot) -> str:
    pods = f"{count(spot.pods, 'pod')} on {spot.node}"
    return f"{pods}: {folded(spot.devices)}" if spot.devices else pods


def _unknown(found: Unknown, namespace: str, output: Output) -> None:
    if output is Output.json:
        show_json("Unknown", found)
    where = f" in namespace {namespace}" if namespace else ""
    close = f"; did you mean {listed(found.close)}?" if found.close else ""
    stderr().print(f"nothing is called {found.name!r}{where}{close}", markup=False)
    end(Exit.NO)
