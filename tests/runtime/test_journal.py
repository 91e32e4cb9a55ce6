"""The journal keeps every cycle exactly, in order, and survives a crash in the middle of a write."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model import codec
from bayplan.model.plan import Hold, Plan
from bayplan.model.policy import Policy
from bayplan.model.reason import PendingEvaluation
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.journal import Journal, JournalError, read
from bayplan.runtime.replay import replay
from tests.make import cluster

WORLD = cluster("r1/a=8 r1/b=8:a100share", "x:8 y:12Gi", running="old:8!1@a", queues="q=16")


def plan_of(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
    """Holds everything, and tells every difference of a snapshot by its order of keys."""
    return Plan(decisions=tuple(Hold(key, (PendingEvaluation(),)) for key in snapshot.workloads), revision=str(now_s))


def written(path: Path, worlds: list[Snapshot]) -> None:
    with Journal(path) as journal:
        for now_s, world in enumerate(worlds):
            journal.append(world, Policy(), now_s, plan_of(world, Policy(), now_s=now_s))


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "j.gz"
    worlds = [WORLD, WORLD.without("default/old"), WORLD.replace(slices=WORLD.slices[:1]), Snapshot(), WORLD]
    written(path, worlds)
    entries = list(read(path))
    assert [e.snapshot for e in entries] == worlds
    assert [e.now_s for e in entries] == [0, 1, 2, 3, 4]
    assert all(e.plan == plan_of(e.snapshot, Policy(), now_s=e.now_s) for e in entries)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.permutations(["a", "b", "c", "d"]).flatmap(lambda p: st.integers(0, 4).map(lambda n: p[:n])), max_size=6
    )
)
def test_the_order_of_keys_is_kept(tmp_path_factory: pytest.TempPathFactory, orders: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.gz"
    base = cluster("n=8", "a:8 b:8 c:8 d:8").workloads
    worlds = [Snapshot(workloads={f"default/{n}": base[f"default/{n}"] for n in order}) for order in orders]
    written(path, worlds)
    assert [list(e.snapshot.workloads) for e in read(path)] == [list(w.workloads) for w in worlds]


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "j.gz"
    written(path, [WORLD])
    first = path.stat().st_size
    written(tmp_path / "k.gz", [WORLD, WORLD.without("default/x")])
    assert (tmp_path / "k.gz").stat().st_size - first < first / 4


def test_an_unchanged_cycle_is_not_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.gz") as journal:
        assert journal.append(WORLD, Policy(), 1, Plan())
        assert not journal.append(WORLD, Policy(), 2, Plan())
        assert journal.append(WORLD, Policy(seed=1), 3, Plan())
    assert [e.policy.seed for e in read(tmp_path / "j.gz")] == [0, 1]


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_tail_that_a_crash_cut_short_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.gz"
    written(path, [WORLD, WORLD.without("default/x")])
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(list(read(path))) == 1
    written(path, [Snapshot(), WORLD])
    assert [e.snapshot for e in read(path)] == [WORLD, Snapshot(), WORLD]


def test_a_full_file_is_kept_once_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.gz"
    with Journal(path, bytes_max=1) as journal:
        for now_s, world in enumerate((WORLD, Snapshot(), WORLD.without("default/x"))):
            journal.append(world, Policy(seed=now_s), now_s, Plan())
    assert [e.snapshot for e in read(path)] == [WORLD.without("default/x")]
    assert [(e.now_s, e.policy.seed) for e in read(tmp_path / "j.gz.1")] == [(1, 1)]


def test_zcat_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "j.gz"
    written(path, [Snapshot()])
    text = zlib.decompress(path.read_bytes(), wbits=31)
    assert text.count(b"\n") == 1


@pytest.mark.parametrize("content", [b"not gzip at all", zlib.compress(b"{}")])
def test_a_file_that_is_no_journal_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j.gz"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="byte 0: not a journal"):
        list(read(path))
    with pytest.raises(JournalError):
        Journal(path)


def test_replay_finds_the_cycle_that_would_go_another_way(tmp_path: Path) -> None:
    path = tmp_path / "j.gz"
    written(path, [WORLD, WORLD.without("default/x"), WORLD])
    assert [r.same for r in replay(path, plan_of)] == [True, True, True]

    def other(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
        made = plan_of(snapshot, policy, now_s=now_s)
        return made if "default/x" in snapshot.workloads else Plan()

    found = list(replay(path, other))
    assert [(r.cycle, r.same) for r in found] == [(1, True), (2, False), (3, True)]
    assert found[1].now == codec.to_json(Plan())
