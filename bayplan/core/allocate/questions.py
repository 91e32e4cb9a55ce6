"""The questions of a catalogue, numbered, and whether a fleet could ever answer them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bayplan.core.allocate.asks import FOR_ANYONE, MAX_DEVICES, Ask, Need, Unservable, Whose, compile_ask
from bayplan.core.allocate.components import Template
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.selectors import SelectorError
from bayplan.model.codec import to_json
from bayplan.model.device import DeviceClass, ResourceClaimSpec
from bayplan.model.reason import DevicesNotFound


class Question(NamedTuple):
    """`ask` is None when `problem` says why it cannot be asked at all."""

    ask: Ask | None
    problem: DevicesNotFound | None


class Questions:
    """Interns asks; 0 is the empty one."""

    def __init__(self, classes: Mapping[str, DeviceClass], gates: Gates) -> None:
        self._classes, self._gates = classes, gates
        self._ids: dict[tuple[bytes, Whose], int] = {}
        self._all = [Question(None, None)]

    def __getitem__(self, ask: int) -> Question:
        return self._all[ask]

    def number(self, claims: tuple[ResourceClaimSpec, ...], whose: Whose = FOR_ANYONE) -> int:
        if not claims:
            return 0
        key = to_json(claims), whose
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = len(self._all)
            self._all.append(self._compiled(claims, whose))
        return known

    def _compiled(self, claims: tuple[ResourceClaimSpec, ...], whose: Whose) -> Question:
        names = tuple(str(i) for i in range(len(claims)))
        try:
            ask = compile_ask(claims, names, self._classes, self._gates, whose)
        except Unservable as refusal:
            return Question(None, DevicesNotFound("", refusal.request, str(refusal)))
        return Question(ask, _static_problem(ask))

    def unmatched(self, ask: int, templates: Iterable[Template]) -> DevicesNotFound | None:
        """The first request that no device of these templates could ever serve, taints apart."""
        question = self._all[ask]
        for want in question.ask.wants if question.ask is not None else ():
            complaints = [_complaint(need, templates, self._gates) for need in want]
            if all(complaints):
                return DevicesNotFound("", want[0].name.partition("/")[0], complaints[0])
        return None


def _complaint(need: Need, templates: Iterable[Template], gates: Gates) -> str:
    """Why no template could serve the need; "" if some could."""
    failure, selected, apart = "", False, True
    for template in templates:
        try:
            if need.selects(template, gates):
                selected = True
                if not gates.consumable or need.amounts(template) is not None:
                    if need.isolation(template).satisfies(need.whose.least):
                        return ""
                    apart = False
        except SelectorError as error:
            failure = failure or str(error)
    if not apart:
        return f"no device that matches keeps its users apart as asked (isolation: {need.whose.least})"
    if selected:
        return "no device that matches is large enough for the capacity asked"
    return failure or f"no device matches class {need.spec.device_class_name} and the request's selectors"


def _static_problem(ask: Ask) -> DevicesNotFound | None:
    for want in ask.wants:
        for need in want:
            text = need.matcher.problem()
            if text:
                return DevicesNotFound("", need.name, text)
    for claim in range(len(ask.claims)):
        wants = [want for want in ask.wants if want[0].claim == claim]
        least = sum(min(0 if n.every else n.count for n in want) for want in wants)
        if least > MAX_DEVICES:
            text = f"asks for {least} devices; a claim holds at most {MAX_DEVICES}"
            return DevicesNotFound("", wants[0][0].name, text)
    return None
