"""The journal: every cycle's (snapshot, policy, now, plan), so that any decision can be made again and questioned.

A file of gzip members, one per cycle, each one line of JSON: `zcat` reads it, an append is one write, and a tail that a
crash cut short is found and dropped. Snapshots are written as what changed since the previous record of the same
session; the order of a snapshot's dicts is kept, for equal input must mean equal in every respect.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, get_args, get_type_hints

import msgspec

from bayplan.model import codec
from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot

_GZIP = 31  # zlib's code for a gzip member with a 32 KiB window
BYTES_MAX = 16 << 20  # a quarter of an hour of a busy cluster, and a second to check at the next start
_CHUNK_BYTES = 1 << 16
_LEVEL = 3  # half the time of the default level for 5 % more bytes


class JournalError(Exception):
    """The file is not a journal, or is damaged before its end; the message is one line with file and record."""


class Entry(Value, frozen=True):
    """One cycle as it was; `plan_json` is the plan byte for byte, `findings` what the audit had against it."""

    now_s: int
    snapshot: Snapshot
    policy: Policy
    plan_json: bytes
    findings: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        return codec.from_json(self.plan_json, Plan)


class _Line(msgspec.Struct, omit_defaults=True):
    """What is written: `policy` only when it changed; `set` as pairs, to keep their order; `gone` as keys."""

    now_s: int
    plan: msgspec.Raw
    policy: msgspec.Raw = msgspec.Raw()
    full: bool = False
    set: dict[str, list[tuple[str, msgspec.Raw]]] = {}
    gone: dict[str, list[str]] = {}
    whole: dict[str, msgspec.Raw] = {}
    findings: tuple[str, ...] = ()


_LINES = msgspec.json.Decoder(_Line)
_HINTS = {name: hint for name, hint in get_type_hints(Snapshot).items() if name in Snapshot.__struct_fields__}
_DICTS = {name: get_args(hint)[1] for name, hint in _HINTS.items() if str(hint).startswith("dict")}
_EMPTY = Snapshot()


class Journal:
    """Appends cycles to a file. One writer per file; what `append` returned from is in the operating system's hands."""

    def __init__(self, path: Path, *, bytes_max: int = BYTES_MAX) -> None:
        """Opens or creates the journal, dropping a tail that a crash cut short. Raises OSError, JournalError.

        A file that has grown to `bytes_max` becomes `<path>.1`, in place of an older one, and a new one is begun.
        """
        self._path, self._bytes_max = path, bytes_max
        sound = _sound_length(path) if path.exists() else 0
        self._file = path.open("ab")
        if self._file.tell() != sound:
            os.truncate(path, sound)
        self._snapshot: Snapshot | None = None
        self._policy: Policy | None = None
        self._plan = b""

    def append(
        self, snapshot: Snapshot, policy: Policy, now_s: int, plan: Plan, findings: tuple[str, ...] = ()
    ) -> bool:
        """Writes one cycle; False (and nothing written) if nothing but the time differs from the last one."""
        if self._file.tell() >= self._bytes_max:
            self._turn_over()
        plan_json = codec.to_json(plan)
        if snapshot is self._snapshot and policy == self._policy and plan_json == self._plan:
            return False
        line = _changes(self._snapshot, snapshot)
        line.now_s, line.plan, line.findings = now_s, msgspec.Raw(plan_json), findings
        if policy != self._policy:
            line.policy = msgspec.Raw(codec.to_json(policy))
        self._file.write(_packed(msgspec.json.encode(line) + b"\n"))
        self._file.flush()
        self._snapshot, self._policy, self._plan = snapshot, policy, plan_json
        return True

    def close(self) -> None:
        self._file.close()

    def _turn_over(self) -> None:
        """Begins a new file, whose first record is whole again."""
        self._file.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("ab")
        self._snapshot, self._policy, self._plan = None, None, b""

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> Iterator[Entry]:
    """The cycles of a journal, oldest first; a tail cut short ends it. Raises OSError, JournalError."""
    snapshot, policy = _EMPTY, Policy()
    for number, (text, _) in enumerate(_members(path), start=1):
        try:
            line = _LINES.decode(text)
            snapshot = _applied(_EMPTY if line.full else snapshot, line)
            policy = codec.from_json(bytes(line.policy), Policy) if line.policy else policy
        except msgspec.MsgspecError as error:
            raise JournalError(f"{path}: record {number}: {error}") from error
        yield Entry(line.now_s, snapshot, policy, bytes(line.plan), line.findings)


def _changes(old: Snapshot | None, new: Snapshot) -> _Line:
    line = _Line(0, msgspec.Raw(b"null"), full=old is None)
    before = old or _EMPTY
    for name in Snapshot.__struct_fields__:
        was, now = getattr(before, name), getattr(new, name)
        if was is now:
            continue
        if name not in _DICTS:
            if was != now:
                line.whole[name] = msgspec.Raw(codec.to_json(now))
            continue
        gone, changed = _difference(was, now)
        if gone:
            line.gone[name] = gone
        if changed:
            line.set[name] = [(k, msgspec.Raw(codec.to_json(v))) for k, v in changed]
    return line


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, Any]]]:
    """Keys to take out and pairs to put in so that `was` becomes `now`, order included."""
    gone = [k for k in was if k not in now]
    changed = [(k, v) for k, v in now.items() if (old := was.get(k)) is not v and old != v]
    missing = frozenset(gone)
    kept = [k for k in was if k not in missing]
    if kept + [k for k, _ in changed if k not in was] != list(now):
        return list(was), list(now.items())
    return gone, changed


def _applied(snapshot: Snapshot, line: _Line) -> Snapshot:
    changes: dict[str, Any] = {name: codec.from_json(bytes(raw), _HINTS[name]) for name, raw in line.whole.items()}
    for name in line.gone.keys() | line.set.keys():
        kind = _DICTS[name]
        fresh = dict(getattr(snapshot, name))
        for key in line.gone.get(name, ()):
            fresh.pop(key, None)
        for key, raw in line.set.get(name, ()):
            fresh[key] = codec.from_json(bytes(raw), kind)
        changes[name] = fresh
    return snapshot.replace(**changes)


def _packed(text: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(text) + packer.flush()


def _sound_length(path: Path) -> int:
    """Where the last whole member ends."""
    return max((end for _, end in _members(path)), default=0)


def _members(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each whole member's text and where it ends in the file."""
    with path.open("rb") as file:
        while True:
            start, unpacker, parts = file.tell(), zlib.decompressobj(_GZIP), list[bytes]()
            while not unpacker.eof:
                chunk = file.read(_CHUNK_BYTES)
                if not chunk:
                    return
                try:
                    parts.append(unpacker.decompress(chunk))
                except zlib.error as error:
                    raise JournalError(f"{path}: byte {start}: not a journal, or damaged ({error})") from error
            end = file.seek(-len(unpacker.unused_data), os.SEEK_CUR)
            yield b"".join(parts), end
