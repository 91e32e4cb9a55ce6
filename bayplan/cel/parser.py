"""Tokens to a tree: a Pratt parser, with the macros of the Kubernetes environment recognised on the way.

Bounds keep every pass inside Python's stack: brackets nest at most MAX_NESTING deep, the tree has at most
MAX_DEPTH levels. (Upstream allows 250; the longest selectors of real drivers have about 10.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from bayplan.cel.ast import (
    Bind,
    Call,
    Fold,
    FoldKind,
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
from bayplan.cel.lexer import SourceError, Token, tokenize
from bayplan.cel.values import INT_MAX

MAX_NESTING = 60
MAX_DEPTH = 100

_RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")
# How tightly a binary operator binds; all of them group to the left.
_BINDING = dict.fromkeys(_RELATIONS, 3) | {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_EXPECTED = (
    "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, "
    "BYTES, IDENTIFIER}"
)
_ONE_NAME_FOLDS = {
    ("all", 2),
    ("exists", 2),
    ("exists_one", 2),
    ("existsOne", 2),
    ("filter", 2),
    ("map", 2),
    ("map", 3),
}
_TWO_NAME_FOLDS = {
    ("all", 3),
    ("exists", 3),
    ("exists_one", 3),
    ("existsOne", 3),
    ("transformList", 3),
    ("transformList", 4),
    ("transformMap", 3),
    ("transformMap", 4),
    ("transformMapEntry", 3),
    ("transformMapEntry", 4),
}


def parse(source: str) -> Node:
    """The tree of an expression; raises SourceError at the first problem."""
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens = tokenize(source)
        self._next = 0
        self._nesting = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._peek().kind != "end":
            raise self._unexpected()
        return node

    # -- tokens

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _at(self, op: str) -> bool:
        token = self._peek()
        return token.kind == "op" and token.text == op

    def _skip(self, op: str) -> bool:
        if self._at(op):
            self._next += 1
            return True
        return False

    def _expect(self, op: str) -> None:
        if not self._skip(op):
            token = self._peek()
            raise SourceError(token.position, f"Syntax error: mismatched input '{token.text}' expecting '{op}'")

    def _unexpected(self) -> SourceError:
        token = self._peek()
        word = "mismatched" if token.kind == "end" else "extraneous"
        return SourceError(token.position, f"Syntax error: {word} input '{token.text}' {_EXPECTED}")

    # -- expressions

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._too_deep(self._peek().position, MAX_NESTING)
        condition = self._binary(1)
        token = self._peek()
        if self._skip("?"):
            yes = self._binary(1)
            self._expect(":")
            no = self._expression()
            condition = self._built(Call(token.position, "_?_:_", None, [condition, yes, no]))
        self._nesting -= 1
        return condition

    def _too_deep(self, position: int, levels: int) -> SourceError:
        return SourceError(position, f"expression is nested more than {levels} levels deep")

    def _built(self, node: Node) -> Node:
        if node.depth > MAX_DEPTH:
            raise self._too_deep(node.position, MAX_DEPTH)
        return node

    def _binary(self, binding: int) -> Node:
        left = self._unary()
        while True:
            token = self._peek()
            strength = _BINDING.get(token.text, 0) if token.kind == "op" else 0
            if strength < binding:
                return left
            self._next += 1
            right = self._binary(strength + 1)
            left = self._built(self._joined(token, left, right))

    def _joined(self, token: Token, left: Node, right: Node) -> Node:
        if token.text not in ("&&", "||"):
            function = f"_{token.text}_" if token.text != "in" else "@in"
            return Call(token.position, function, None, [left, right])
        conjunction = token.text == "&&"
        if isinstance(left, Logic) and left.conjunction == conjunction:
            left.append(right)
            return left
        return Logic(token.position, conjunction, [left, right])

    def _unary(self) -> Node:
        token = self._peek()
        if self._skip("!"):
            return self._repeated_unary(token, "!", "!_")
        if self._at("-") and not self._at_negative_number():
            self._next += 1
            return self._repeated_unary(token, "-", "-_")
        return self._operand()

    def _repeated_unary(self, token: Token, op: str, function: str) -> Node:
        """`!!!a`: pairs cancel out, as in upstream's grammar."""
        count = 1
        while self._at(op) and not self._at_negative_number():
            self._next += 1
            count += 1
        operand = self._operand()
        return self._built(Call(token.position, function, None, [operand])) if count % 2 else operand

    def _at_negative_number(self) -> bool:
        """A minus sign before a number is part of it: `-1.size()` is `(-1).size()`."""
        return self._at("-") and type(self._tokens[self._next + 1].value) in (int, float)

    def _operand(self) -> Node:
        if not self._at_negative_number():
            return self._member(self._primary())
        position = self._take().position
        return self._member(Literal(position, -self._take().value))

    def _member(self, node: Node) -> Node:
        while True:
            token = self._peek()
            if self._skip("."):
                optional = self._skip("?")
                node = self._selected(token, node, self._field(), optional)
            elif self._skip("["):
                optional = self._skip("?")
                key = self._expression()
                self._expect("]")
                node = Index(token.position, node, key, optional)
            else:
                return node
            self._built(node)

    def _field(self) -> str:
        token = self._take()
        if token.kind != "name":
            self._next -= 1
            raise SourceError(token.position, f"Syntax error: mismatched input '{token.text}' expecting IDENTIFIER")
        return token.text

    def _selected(self, dot: Token, operand: Node, name: str, optional: bool) -> Node:
        if optional or not self._at("("):
            return Select(dot.position, operand, name, optional)
        position = self._take().position
        return _method(position, operand, name, self._arguments(")"))

    def _arguments(self, closing: str) -> list[Node]:
        args: list[Node] = []
        if self._skip(closing):
            return args
        while True:
            args.append(self._expression())
            if not self._skip(","):
                self._expect(closing)
                return args

    def _primary(self) -> Node:
        token = self._peek()
        if token.kind == "value":
            self._next += 1
            if type(token.value) is int and token.value > INT_MAX:
                raise SourceError(token.position, "invalid int literal")
            return Literal(token.position, token.value)
        if token.kind == "name":
            return self._named(token)
        if self._skip("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._skip("["):
            return self._list(token.position)
        if self._skip("{"):
            return self._map(token.position)
        if self._skip("."):
            return self._named(self._peek())
        raise self._unexpected()

    def _named(self, token: Token) -> Node:
        name = self._field()
        if name in _RESERVED:
            raise SourceError(token.position, f"reserved identifier: {name}")
        if self._at("("):
            position = self._take().position
            args = self._arguments(")")
            if name == "has" and len(args) == 1:
                return _has(position, args[0])
            return Call(position, name, None, args)
        return Ident(token.position, name)

    def _list(self, position: int) -> Node:
        items: list[Node] = []
        optionals: set[int] = set()
        while not self._skip("]"):
            if self._skip("?"):
                optionals.add(len(items))
            items.append(self._expression())
            if not self._skip(","):
                self._expect("]")
                break
        return self._built(ListExpr(position, items, frozenset(optionals)))

    def _map(self, position: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._skip("}"):
            optional = self._skip("?")
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._skip(","):
                self._expect("}")
                break
        return self._built(MapExpr(position, entries))


# -- macros


def _has(position: int, arg: Node) -> Node:
    if not isinstance(arg, Select) or arg.test:
        raise SourceError(position, "invalid argument to has() macro")
    if arg.optional:
        raise SourceError(position, "has() cannot test an optional selection")
    return Select(position, arg.operand, arg.field, False, test=True)


def _method(position: int, target: Node, name: str, args: list[Node]) -> Node:
    """A method call, or the macro of that name."""
    form = name, len(args)
    if form in _ONE_NAME_FOLDS:
        return _fold(position, target, name, args[:1], args[1:])
    if form in _TWO_NAME_FOLDS:
        return _fold(position, target, name, args[:2], args[2:])
    macro = _OTHER_MACROS.get(form)
    expanded = macro(position, target, args) if macro is not None else None
    return expanded or Call(position, name, target, args)


def _fold(position: int, target: Node, name: str, names: list[Node], rest: list[Node]) -> Node:
    variables = tuple(_variable(node) for node in names)
    if len(set(variables)) != len(variables):
        raise SourceError(names[-1].position, f"duplicate variable name: {variables[0]}")
    kind = cast(FoldKind, {"existsOne": "exists_one"}.get(name, name))
    condition = rest[0] if len(rest) == 2 else None
    return Fold(position, kind, target, variables, condition, rest[-1])


def _variable(node: Node) -> str:
    if not isinstance(node, Ident):
        raise SourceError(node.position, "argument must be a simple name")
    if node.name in ("__result__", "@result"):
        raise SourceError(node.position, "iteration variable overwrites accumulator variable")
    return node.name


def _bind(position: int, target: Node, args: list[Node]) -> Node | None:
    if not (isinstance(target, Ident) and target.name == "cel"):
        return None
    if not isinstance(args[0], Ident):
        raise SourceError(args[0].position, "cel.bind() variable names must be simple identifiers")
    return Bind(position, args[0].name, args[1], args[2])


def _opt_map(position: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(args[0], Ident):
        raise SourceError(args[0].position, "optMap() variable name must be a simple identifier")
    return OptMap(position, target, args[0].name, args[1], flat=False)


def _opt_flat_map(position: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(args[0], Ident):
        raise SourceError(args[0].position, "optFlatMap() variable name must be a simple identifier")
    return OptMap(position, target, args[0].name, args[1], flat=True)


def _sort_by(position: int, target: Node, args: list[Node]) -> Node:
    return SortBy(position, target, _variable(args[0]), args[1])


_OTHER_MACROS: dict[tuple[str, int], Callable[[int, Node, list[Node]], Node | None]] = {
    ("bind", 3): _bind,
    ("optMap", 2): _opt_map,
    ("optFlatMap", 2): _opt_flat_map,
    ("sortBy", 2): _sort_by,
}
