"""Many waits in one thread: order, bounds, failures and time limits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bayplan.clusters.kubernetes.fibers import Turn, each, pause, ready


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(4)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def soon() -> float:
    return time.monotonic() + 5


def test_results_come_in_the_order_of_items_whoever_ends_first() -> None:
    def work(item: int) -> int:
        pause((4 - item) / 100)
        return item * 10

    assert each(work, range(5), 5, 5) == [0, 10, 20, 30, 40]


def test_one_thread_waits_for_several_sockets(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """Each answer is written only after the one with the higher number has been read: one by one would not end."""

    def work(index: int) -> bytes:
        ready(pairs[index][0], soon())
        if index:
            pairs[index - 1][1].send(b"x")
        return pairs[index][0].recv(1)

    threading.Timer(0.02, lambda: pairs[3][1].send(b"x")).start()
    assert each(work, range(4), 4, 4) == [b"x"] * 4


def test_work_within_work_shares_the_turns() -> None:
    within = most = 0

    def leaf(item: int) -> int:
        nonlocal within, most
        with Turn():
            within += 1
            most = max(most, within)
            pause(0.002)
            within -= 1
        return item

    def branch(item: int) -> list[int]:
        return each(leaf, range(item * 10, item * 10 + 10), 10, 10)

    found = each(branch, range(3), 3, 4)
    assert found == [list(range(i, i + 10)) for i in (0, 10, 20)]
    assert most == 4 and within == 0


def test_after_a_failure_nothing_more_is_begun_and_what_was_begun_ends() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        pause(0.01 if item else 0)
        if item == 0:
            raise ValueError("no")
        ended.append(item)

    with pytest.raises(ValueError, match="no"):
        each(work, range(100), 3, 3)
    assert begun == [0, 1, 2] and sorted(ended) == [1, 2]


def test_what_is_raised_within_a_turn_gives_it_back() -> None:
    def work(item: int) -> int:
        try:
            with Turn():
                pause(0.001)
                raise ValueError
        except ValueError:
            return item

    assert each(work, range(9), 9, 1) == list(range(9))


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_wait_for_a_silent_socket_ends_in_time(
    pairs: list[tuple[socket.socket, socket.socket]], at_once: int
) -> None:
    def work(index: int) -> str:
        try:
            ready(pairs[index][0], time.monotonic() + 0.05)
        except TimeoutError:
            return "late"
        return "ready"

    pairs[1][1].send(b"x")
    assert each(work, range(3), at_once, at_once) == ["late", "ready", "late"]


def test_a_socket_can_be_waited_for_again_after_it_was_late(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    def work(index: int) -> bytes:
        with pytest.raises(TimeoutError):
            ready(pairs[index][0], time.monotonic() + 0.02)
        pairs[index][1].send(b"y")
        ready(pairs[index][0], soon())
        return pairs[index][0].recv(1)

    assert each(work, range(4), 4, 4) == [b"y"] * 4


def test_alone_the_same_calls_simply_wait(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    began = time.monotonic()
    pause(0.01)
    with Turn(), pytest.raises(TimeoutError):
        ready(pairs[0][0], time.monotonic() + 0.01)
    pairs[0][1].send(b"x")
    ready(pairs[0][0], soon())
    assert time.monotonic() - began >= 0.02
