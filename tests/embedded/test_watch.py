"""Following changes: cursors, the bounded history, and that a replay arrives where a list does."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.clusters.embedded import Change, Store
from tests.embedded.objects import config_map, pod, raises


def seen(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.type, change.record.name) for change in changes]


def test_a_watch_tells_what_happened_in_order(store: Store) -> None:
    watch = store.watch(["configmaps", "pods"])
    store.create("configmaps", "default", config_map("a"))
    store.create("pods", "default", pod("b"))
    store.patch("configmaps", "default", "a", {"data": {"x": "1"}})
    store.delete("configmaps", "default", "a")
    assert seen(watch.poll()) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert watch.poll() == []


def test_a_watch_from_an_earlier_version_replays(store: Store) -> None:
    version = store.version
    store.create("configmaps", "default", config_map("a"))
    assert seen(store.watch(["configmaps"], since=version).poll()) == [("ADDED", "a")]
    assert seen(store.watch(["configmaps"], since=store.version).poll()) == []


def test_a_deletion_carries_the_last_state_and_a_version_of_its_own(store: Store) -> None:
    made = store.create("configmaps", "default", config_map(a="1"))
    watch = store.watch(["configmaps"])
    store.delete("configmaps", "default", "cm")
    (change,) = watch.poll()
    assert change.object["data"] == {"a": "1"}
    assert change.version == store.version > int(made["metadata"]["resourceVersion"])


def test_a_reader_that_falls_behind_must_list_anew(clock: Any) -> None:
    store = Store(now=clock, history_changes=4)
    watch = store.watch(["configmaps"])
    for number in range(9):
        store.create("configmaps", "default", config_map(f"c{number}"))
    with raises(410, "Expired", "too old resource version"):
        watch.poll()


def test_a_busy_resource_does_not_expire_a_quiet_one(clock: Any) -> None:
    store = Store(now=clock, history_changes=4)
    watch = store.watch(["pods"])
    store.create("pods", "default", pod())
    for number in range(50):
        store.create("configmaps", "default", config_map(f"c{number}"))
    assert seen(watch.poll()) == [("ADDED", "p")]


def test_compaction_forgets_the_past(store: Store) -> None:
    version = store.version
    store.create("configmaps", "default", config_map())
    store.compact()
    with raises(410, "Expired"):
        store.watch(["configmaps"], since=version).poll()
    assert store.watch(["configmaps"], since=store.version).poll() == []


def test_nothing_of_a_transaction_is_seen_before_it_is_committed(store: Store) -> None:
    watch = store.watch(["configmaps"])
    with store.transaction():
        store.create("configmaps", "default", config_map("a"))
        assert watch.poll() == []
        store.create("configmaps", "default", config_map("b"))
    assert seen(watch.poll()) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_waiting_thread_is_woken_by_a_write(store: Store) -> None:
    watch = store.watch(["configmaps"])
    found: list[list[tuple[str, str]]] = []
    waiter = threading.Thread(target=lambda: found.append(seen(watch.wait(timeout_seconds=30))))
    waiter.start()
    store.create("configmaps", "default", config_map())
    waiter.join(timeout=30)
    assert found == [[("ADDED", "cm")]]


def test_a_subscriber_hears_of_every_commit_until_it_stops(store: Store) -> None:
    heard: list[int] = []
    stop = store.subscribe(heard.append)
    store.create("configmaps", "default", config_map("a"))
    stop()
    store.create("configmaps", "default", config_map("b"))
    assert heard == [store.version - 1]


# -- laws -----------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
steps = st.lists(
    st.tuples(st.sampled_from(["create", "patch", "delete", "hold", "release", "abort"]), names, st.integers(0, 3)),
    max_size=25,
)


def play(store: Store, step: tuple[str, str, int]) -> None:
    """One step against the store; refusals are part of the play."""
    kind, name, value = step
    try:
        match kind:
            case "create":
                store.create("configmaps", "default", config_map(name, v=str(value)))
            case "patch":
                store.patch("configmaps", "default", name, {"data": {"v": str(value)}})
            case "delete":
                store.delete("configmaps", "default", name)
            case "hold" | "release":
                held = ["x.io/held"] if kind == "hold" else None
                store.patch("configmaps", "default", name, {"metadata": {"finalizers": held}})
            case "abort":
                with store.transaction(dry_run=True):
                    play(store, ("create", name, value))
                    play(store, ("delete", name, value))
    except Exception as error:
        assert type(error).__name__ == "ApiError", error


@settings(max_examples=60)
@given(steps)
def test_replaying_the_changes_arrives_where_a_list_does(played: list[tuple[str, str, int]]) -> None:
    store = Store()
    watch = store.watch(["configmaps"])
    replayed: dict[str, dict[str, Any]] = {}
    for step in played:
        play(store, step)
        for change in watch.poll():
            assert (change.type == "ADDED") == (change.record.name not in replayed)
            if change.type == "DELETED":
                del replayed[change.record.name]
            else:
                replayed[change.record.name] = change.object
    items, _ = store.list("configmaps")
    assert replayed == {item["metadata"]["name"]: item for item in items}


@settings(max_examples=60)
@given(steps)
def test_versions_only_grow(played: list[tuple[str, str, int]]) -> None:
    store = Store()
    watch = store.watch(["configmaps"])
    for step in played:
        play(store, step)
    versions = [change.version for change in watch.poll()]
    assert versions == sorted(set(versions))
