"""The loops behind the macros (cel-spec "Macros", cel-go's two-variable comprehensions).

`all` and `exists` forgive an element's error if another element decides; the rest are strict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.cel.frame import Closure, Frame
from bayplan.cel.values import Value, go_type

Items = Callable[[Value], Sequence[Value]]
FoldMaker = Callable[[Closure, Items, Sequence[int], Closure | None, Closure], Closure]


def _steps(frame: Frame, items: Sequence[Value], slots: Sequence[int]) -> Iterator[None]:
    """Puts each element into its slot or slots."""
    if len(slots) == 1:
        (slot,) = slots
        for item in items:
            frame[slot] = item
            yield
    else:
        first, second = slots
        for frame[first], frame[second] in items:
            yield


def _truth(value: Value) -> bool:
    if value is True or value is False:
        return bool(value)
    raise EvalError(NO_OVERLOAD)


def _decided_by(decisive: bool) -> FoldMaker:
    def make(over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure) -> Closure:
        def quantify(frame: Frame) -> Value:
            failure: EvalError | None = None
            for _ in _steps(frame, items_of(over(frame)), slots):
                try:
                    if _truth(body(frame)) is decisive:
                        return decisive
                except EvalError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return not decisive

        return quantify

    return make


def _exists_one(
    over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure
) -> Closure:
    return lambda frame: sum(_truth(body(frame)) for _ in _steps(frame, items_of(over(frame)), slots)) == 1


def _filter(over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure) -> Closure:
    (slot,) = slots

    def keep(frame: Frame) -> Value:
        kept = []
        for item in items_of(over(frame)):
            frame[slot] = item
            if _truth(body(frame)):
                kept.append(item)
        return tuple(kept)

    return keep


def _map(over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure) -> Closure:
    def transform(frame: Frame) -> Value:
        return tuple(
            [
                body(frame)
                for _ in _steps(frame, items_of(over(frame)), slots)
                if condition is None or _truth(condition(frame))
            ]
        )

    return transform


def _transform_map(
    over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure
) -> Closure:
    key_slot = slots[0]

    def transform(frame: Frame) -> Value:
        result: dict[Value, Value] = {}
        for _ in _steps(frame, items_of(over(frame)), slots):
            if condition is None or _truth(condition(frame)):
                key = frame[key_slot]
                result[key] = body(frame)
        return result

    return transform


def _transform_map_entry(
    over: Closure, items_of: Items, slots: Sequence[int], condition: Closure | None, body: Closure
) -> Closure:
    def transform(frame: Frame) -> Value:
        result: dict[Value, Value] = {}
        for _ in _steps(frame, items_of(over(frame)), slots):
            if condition is not None and not _truth(condition(frame)):
                continue
            entries = body(frame)
            if not isinstance(entries, dict):
                raise EvalError(NO_OVERLOAD)
            for key, value in entries.items():
                insert(result, key, value)
        return result

    return transform


def insert(mapping: dict[Value, Value], key: Value, value: Value) -> None:
    """Adds an entry; raises EvalError for a repeated key or one of no key type."""
    if not isinstance(key, str | int):
        raise EvalError(f"unsupported key type: {go_type(key)}")
    if key in mapping:
        raise EvalError(f"insert failed: key {key} already exists")
    mapping[key] = value


FOLDS: Mapping[str, FoldMaker] = {
    "all": _decided_by(False),
    "exists": _decided_by(True),
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
    "transformList": _map,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_map_entry,
}
