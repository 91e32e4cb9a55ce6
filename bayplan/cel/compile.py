"""A checked tree to nested Python closures.

A *metered* program charges every step; one whose worst case is known to stay under the limit is compiled
without, which is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bayplan.cel.ast import (
    Bind,
    Call,
    Fold,
    Ident,
    Index,
    ListExpr,
    Literal,
    Logic,
    MapExpr,
    Node,
    OptMap,
    Select,
    SortBy,
)
from bayplan.cel.calls import dispatched, folded, metered_call, specialised
from bayplan.cel.charges import FOLD_END, FOLD_START, FOLD_STEP, LIST_COST, MAP_COST
from bayplan.cel.checker import TYPE_IDENTS, qualified_name
from bayplan.cel.errors import NO_OVERLOAD, Cancelled, EvalError
from bayplan.cel.folds import FOLDS, insert
from bayplan.cel.frame import FIRST_SLOT, NO_FRAME, Closure, Constant, Frame, charge
from bayplan.cel.logic import all_of, any_of
from bayplan.cel.stdlib.lists import sort_by_keys
from bayplan.cel.values import (
    NONE,
    Optional,
    TypeValue,
    Value,
    contains,
    find,
    go_type,
    index,
    is_missing,
    lookup,
    sorted_keys,
)


class Root(Protocol):
    """How the environment's own variables are read."""

    def compiled(self, node: Node, is_shadowed: Callable[[str], bool]) -> tuple[Closure, int] | None:
        """A closure for the node and its cost, or None to compile it step by step."""


class Program:
    """A compiled expression."""

    def __init__(self, root: Node, variables: Root, limit: int, metered: bool) -> None:
        compiler = _Compiler(variables, metered)
        self.run = compiler.compile(root)
        self._slots = [None] * compiler.slots
        self._limit = limit

    def frame(self, given: Value) -> Frame:
        """What `run` works on."""
        return [given, self._limit, *self._slots]

    def evaluate(self, given: Value) -> Value:
        """The value for an input; raises EvalError."""
        try:
            return self.run(self.frame(given))
        except Cancelled as stop:
            raise EvalError(str(stop)) from None


class _Compiler:
    def __init__(self, root: Root, metered: bool) -> None:
        self._root = root
        self._metered = metered
        self._scope: list[tuple[str, Closure]] = []
        self.slots = 0

    def compile(self, node: Node) -> Closure:
        special = self._root.compiled(node, self._is_local)
        if special is not None:
            return self._priced(*special)
        return self._COMPILERS[type(node)](self, node)

    # -- bookkeeping

    def _is_local(self, name: str) -> bool:
        return any(known == name for known, _ in self._scope)

    def _priced(self, closure: Closure, cost: int) -> Closure:
        if not self._metered or cost == 0:
            return closure

        def metered(frame: Frame) -> Value:
            value = closure(frame)
            charge(frame, cost)
            return value

        return metered

    def _slot(self) -> int:
        """A slot of its own for every variable: a lazily bound value may be computed inside any later loop."""
        self.slots += 1
        return FIRST_SLOT + self.slots - 1

    def _within(self, names: Sequence[tuple[str, Closure]], body: Node) -> Closure:
        self._scope.extend(names)
        closure = self.compile(body)
        del self._scope[len(self._scope) - len(names) :]
        return closure

    # -- leaves

    def _literal(self, node: Literal) -> Closure:
        return Constant(node.value)

    def _ident(self, node: Ident) -> Closure:
        for name, closure in reversed(self._scope):
            if name == node.name:
                return self._priced(closure, 1)
        assert node.name in TYPE_IDENTS, node.name
        return self._priced(Constant(TypeValue(node.name)), 1)

    # -- fields and indexes

    def _select(self, node: Select) -> Closure:
        name = qualified_name(node)
        if name in TYPE_IDENTS and node.type.name == "type":
            return Constant(TypeValue(str(name)))
        operand, field = self.compile(node.operand), node.field
        if node.test:
            return lambda frame: _has(operand(frame), field)
        if node.optional or node.operand.type.name == "opt":
            return self._priced(lambda frame: _found(operand(frame), field), 1)

        def select(frame: Frame) -> Value:
            value = operand(frame)
            if isinstance(value, dict):
                return lookup(value, field)
            if isinstance(value, Optional):
                return _found(value, field)
            raise EvalError(NO_OVERLOAD)

        return self._priced(select, 1)

    def _index(self, node: Index) -> Closure:
        operand, key = self.compile(node.operand), self.compile(node.key)
        if node.optional or node.operand.type.name == "opt":
            return self._priced(lambda frame: _found(operand(frame), key(frame)), 1)

        def at(frame: Frame) -> Value:
            value = operand(frame)
            return _found(value, key(frame)) if isinstance(value, Optional) else index(value, key(frame))

        return self._priced(at, 1)

    # -- calls

    def _call(self, node: Call) -> Closure:
        if node.function == "_?_:_":
            return self._conditional(node)
        if node.function in ("or", "orValue") and node.target is not None:
            return self._alternative(node)
        args = [self.compile(arg) for arg in node.all_args]
        if self._metered:
            return metered_call(node, args)
        if args and node.overloads and all(isinstance(arg, Constant) for arg in args):
            return folded(node, [arg(NO_FRAME) for arg in args])
        return specialised(node, args) or dispatched(node, args)

    def _conditional(self, node: Call) -> Closure:
        condition, yes, no = (self.compile(arg) for arg in node.args)

        def choose(frame: Frame) -> Value:
            chosen = condition(frame)
            if chosen is True:
                return yes(frame)
            if chosen is False:
                return no(frame)
            raise EvalError(NO_OVERLOAD)

        return choose

    def _alternative(self, node: Call) -> Closure:
        first, second = (self.compile(arg) for arg in node.all_args)
        unwrap = node.function == "orValue"

        def either(frame: Frame) -> Value:
            optional = first(frame)
            if not isinstance(optional, Optional):
                raise EvalError(NO_OVERLOAD)
            if optional.present:
                return optional.value if unwrap else optional
            other = second(frame)
            if not unwrap and not isinstance(other, Optional):
                raise EvalError(NO_OVERLOAD)
            return other

        return self._priced(either, 1)

    def _logic(self, node: Logic) -> Closure:
        terms = [self.compile(term) for term in node.terms]
        return all_of(terms) if node.conjunction else any_of(terms)

    # -- literals of lists and maps

    def _list(self, node: ListExpr) -> Closure:
        items = [self.compile(item) for item in node.items]
        if not node.optionals:
            if not self._metered and all(isinstance(item, Constant) for item in items):
                return Constant(tuple(item(NO_FRAME) for item in items))
            return self._priced(lambda frame: tuple([item(frame) for item in items]), LIST_COST)
        optionals = node.optionals

        def build(frame: Frame) -> Value:
            result: list[Value] = []
            for at, item in enumerate(items):
                value = item(frame)
                if at in optionals:
                    if _unwrapped(value).present:
                        result.append(value.value)
                else:
                    result.append(value)
            return tuple(result)

        return self._priced(build, LIST_COST)

    def _map(self, node: MapExpr) -> Closure:
        entries = [(self.compile(key), self.compile(value), optional) for key, value, optional in node.entries]

        def build(frame: Frame) -> Value:
            result: dict[Value, Value] = {}
            for key_of, value_of, optional in entries:
                key, value = key_of(frame), value_of(frame)
                if optional:
                    if not _unwrapped(value).present:
                        continue
                    value = value.value
                insert(result, key, value)
            return result

        return self._priced(build, MAP_COST)

    # -- macros

    def _fold(self, node: Fold) -> Closure:
        over = self.compile(node.range)
        slots = [self._slot() for _ in node.names]
        names = [(name, _reader(slot)) for name, slot in zip(node.names, slots, strict=True)]
        body = self._within(names, node.body)
        condition = self._within(names, node.condition) if node.condition is not None else None
        if self._metered:
            body = _metered_body(body, FOLD_STEP[node.kind])
        items = _pairs_of if len(slots) == 2 else _items_of
        fold = FOLDS[node.kind](over, items, slots, condition, body)
        once = FOLD_START.get(node.kind, 0) + FOLD_END.get(node.kind, 1)
        return self._priced(fold, once)

    def _bind(self, node: Bind) -> Closure:
        init = self.compile(node.init)
        slot = self._slot()
        body = self._within([(node.name, _lazy(slot, init))], node.body)

        def bind(frame: Frame) -> Value:
            frame[slot] = _UNSET
            return body(frame)

        return bind

    def _opt_map(self, node: OptMap) -> Closure:
        target = self.compile(node.target)
        slot = self._slot()
        body = self._within([(node.name, _reader(slot))], node.body)
        flat = node.flat

        def opt_map(frame: Frame) -> Value:
            optional = _unwrapped(target(frame))
            if not optional.present:
                return NONE
            frame[slot] = optional.value
            result = body(frame)
            return _unwrapped(result) if flat else Optional(True, result)

        return self._priced(opt_map, 3)

    def _sort_by(self, node: SortBy) -> Closure:
        target = self.compile(node.target)
        slot = self._slot()
        key = self._within([(node.name, _reader(slot))], node.key)
        if self._metered:
            key = _metered_body(key, FOLD_STEP["map"])

        def sort_by(frame: Frame) -> Value:
            items = target(frame)
            if not isinstance(items, tuple):
                raise EvalError(NO_OVERLOAD)
            keys = []
            for item in items:
                frame[slot] = item
                keys.append(key(frame))
            return sort_by_keys(items, tuple(keys))

        return self._priced(sort_by, 2 * LIST_COST)

    _COMPILERS: Mapping[type[Node], Callable[[_Compiler, Value], Closure]] = {
        Literal: _literal,
        Ident: _ident,
        Select: _select,
        Index: _index,
        Call: _call,
        Logic: _logic,
        ListExpr: _list,
        MapExpr: _map,
        Fold: _fold,
        Bind: _bind,
        OptMap: _opt_map,
        SortBy: _sort_by,
    }


_UNSET = object()


def _reader(slot: int) -> Closure:
    return lambda frame: frame[slot]


def _lazy(slot: int, init: Closure) -> Closure:
    """Reads a bound variable, computing it the first time (upstream binds lazily, errors included)."""

    def read(frame: Frame) -> Value:
        value = frame[slot]
        if value is _UNSET:
            value = frame[slot] = init(frame)
        return value

    return read


def _metered_body(body: Closure, cost: int) -> Closure:
    def metered(frame: Frame) -> Value:
        charge(frame, cost)
        return body(frame)

    return metered


def _unwrapped(value: Value) -> Optional:
    if not isinstance(value, Optional):
        raise EvalError(NO_OVERLOAD)
    return value


def _has(value: Value, field: str) -> bool:
    if isinstance(value, Optional):
        return value.present and _has(value.value, field)
    if not isinstance(value, dict):
        raise EvalError(NO_OVERLOAD)
    return contains(value, field)


def _found(value: Value, key: Value) -> Optional:
    """`value[?key]`, through an optional if `value` is one."""
    if isinstance(value, Optional):
        return _found(value.value, key) if value.present else NONE
    if isinstance(value, dict):
        found = find(value, key)
        return NONE if is_missing(found) else Optional(True, found)
    if isinstance(value, tuple) and isinstance(key, int) and type(key) is not bool:
        return Optional(True, value[key]) if 0 <= key < len(value) else NONE
    raise EvalError(NO_OVERLOAD)


def _items_of(value: Value) -> Sequence[Value]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, dict):
        return sorted_keys(value)
    raise EvalError(f"got '{go_type(value)}', expected iterable type")


def _pairs_of(value: Value) -> Sequence[tuple[Value, Value]]:
    if isinstance(value, tuple):
        return list(enumerate(value))
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted_keys(value)]
    raise EvalError(f"got '{go_type(value)}', expected iterable type")
