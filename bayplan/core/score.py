"""Which node is best for a pod: named functions over node states.

`SCORES[name](book, mix)` gives a `Score`: (signature before, shape, option) → an integer, higher is better; equal
scores are decided by the node's rank. `mix` is what is likely to be asked next, as (weight, shape).

`stranding` is ours, the rest are the baselines it is measured against: fragmentation gradient descent and the policies
of its paper (Weng et al., "Beware of Fragmentation", USENIX ATC 2023), and kube-scheduler's default scoring. Baselines
are truncated to 0…100 as published: how coarse a score is decides how often rank does, and so how tightly it packs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from bayplan.core import scarcity
from bayplan.core.book import Book, NodeView, Option
from bayplan.core.stock import Mix, stock_of
from bayplan.core.worth import Worths

Score: TypeAlias = Callable[[int, int, Option], int]
Loss: TypeAlias = Callable[[int], int]

SCORE_MAX = 100
WHOLE = 1000
# the largest node of the published fleet, by which best-fit and dot-product normalise
CPU_MAX_MILLI, GPU_MAX_MILLI = 128_000, 8_000


def stranding(book: Book, mix: Mix, worths: Worths | None = None) -> Score:
    """Ours: strand least, spare what is scarce, keep whole what is whole.

    What a placement costs is, in thousandths of a GPU: by how much less of the node the next pod of the mix could use
    (the gradient of FGD), by how much more would be left over if the node were filled up with any one shape of the mix
    (which sees that six shares of 12Gi leave the same gap as five), the price of what it takes where the model is
    scarce, and what it takes beyond the least that would do (a whole card for want of a slice). A small part of the mix
    is always whole GPUs, so that cards stay whole where nothing else decides, and of equal nodes one already in use is
    taken, so that nodes stay whole. At prices, what a placement costs beyond what it takes counts too, and counts most.
    """
    stock = stock_of(book, mix)
    prices = cache(lambda: scarcity.prices(book, mix))
    least_taken: dict[tuple[int, int], int] = {}

    def least(before: int, shape: int) -> int:
        key = before, shape
        if key not in least_taken:
            free = stock.loss(before).free
            least_taken[key] = min(free - stock.loss(o.after).free for o in book.options(before, shape))
        return least_taken[key]

    def score(before: int, shape: int, option: Option) -> int:
        now, after = stock.loss(before), stock.loss(option.after)
        gain = (NEXT * (now.next - after.next) + FILL * (now.filled - after.filled)) / (NEXT + FILL) / stock.scale
        taken = now.free - after.free
        price = SCARCITY * prices().get(book.node_class_of(before), 0) * taken / WHOLE if taken else 0.0
        spare = taken - least(before, shape) if taken else 0
        beyond = PRICED * worths.beyond_milli(before, option.after) if worths else 0.0
        return 2 * _graded(gain - price - spare - beyond) + (book.view(before).pods > 0)

    return score


def lost(book: Book, mix: Mix) -> Loss:
    """What `stranding` weighs of a node state, to the last thousandth: ways on one node differ by less than a grade."""
    stock = stock_of(book, mix)

    def loss(sig: int) -> int:
        known = stock.loss(sig)
        return NEXT * known.next + FILL * known.filled

    return loss


NEXT, FILL = 9, 1  # on openb, a tenth of `filled` beats `next` alone by 0.1 to 0.4 points; more of it gains less
SCARCITY = 2  # one model's excess load over the fleet's, as a cost; 2 to 4 are alike on openb's gpuspec traces
PRICED = 8  # on openb 4 to 12 are alike; at 1 the coarse grades drown the differences between prices


def fgd(book: Book, mix: Mix) -> Score:
    """Fragmentation gradient descent: the smallest rise of what a pod drawn from the mix could not use."""
    stock = stock_of(book, mix, 0)

    def score(before: int, shape: int, option: Option) -> int:
        return _graded((stock.loss(before).next - stock.loss(option.after).next) / stock.scale)

    return score


def _graded(gain_milli: float) -> int:
    """0…100 on a sigmoid: 50 costs nothing, a GPU more or less is 73 or 26."""
    return int(SCORE_MAX / (1 + math.exp(-max(-60_000.0, gain_milli) / WHOLE)))


def first_fit(book: Book, mix: Mix) -> Score:
    """The first node in rank order that fits."""
    return lambda before, shape, option: 0


def best_fit(book: Book, mix: Mix) -> Score:
    """The least left over: half CPU, half GPU."""

    def score(before: int, shape: int, option: Option) -> int:
        after = book.view(option.after)
        left = after.cpu_free_milli / CPU_MAX_MILLI + sum(after.gpu_free_milli) / GPU_MAX_MILLI
        return int((1 - left / 2) * SCORE_MAX)

    return score


def dot_product(book: Book, mix: Mix) -> Score:
    """The smallest product of what is free and what is asked, CPU and GPU each merged to one dimension."""

    def score(before: int, shape: int, option: Option) -> int:
        free, after = book.view(before), book.view(option.after)
        gpu_free = sum(free.gpu_free_milli)
        cpu = free.cpu_free_milli / CPU_MAX_MILLI * (free.cpu_free_milli - after.cpu_free_milli) / CPU_MAX_MILLI
        gpu = gpu_free / GPU_MAX_MILLI * (gpu_free - sum(after.gpu_free_milli)) / GPU_MAX_MILLI
        return int(SCORE_MAX * (1 - (cpu + gpu) / 2))

    return score


def gpu_packing(book: Book, mix: Mix) -> Score:
    """A GPU already shared before a free one, on a node in use before an empty one."""

    def score(before: int, shape: int, option: Option) -> int:
        free, after = book.view(before).gpu_free_milli, book.view(option.after).gpu_free_milli
        if sum(free) == sum(after):
            return 0
        whole = free.count(WHOLE)
        if whole == len(free):
            return max(SCORE_MAX // 3 - whole, whole)
        opened = whole - after.count(WHOLE)
        if opened:
            return max(SCORE_MAX // 2 - opened, SCORE_MAX // 3)
        shared = sum(f * SCORE_MAX // WHOLE for f in _drawn_on(free, after))
        return max(SCORE_MAX - shared // 10, SCORE_MAX // 2)

    return score


def gpu_clustering(book: Book, mix: Mix) -> Score:
    """Nodes that run pods of the same kind first: shares with shares, whole GPUs with whole GPUs."""

    def score(before: int, shape: int, option: Option) -> int:
        free, after = book.view(before).gpu_free_milli, book.view(option.after).gpu_free_milli
        taken = sum(free) - sum(after)
        if not taken:
            return 0
        kinds = {"share" if f else "whole" for f in free if f < WHOLE}
        quarter = SCORE_MAX // 4
        filled = quarter * (GPU_MAX_MILLI - sum(free)) // GPU_MAX_MILLI
        if ("share" if taken < WHOLE else "whole") in kinds:
            return filled + (3 if len(kinds) == 1 else 2) * quarter
        return filled + (0 if kinds else quarter)

    return score


def kube_scheduler(book: Book, mix: Mix) -> Score:
    """kube-scheduler's default profile, CPU and memory: LeastAllocated plus BalancedAllocation."""

    def score(before: int, shape: int, option: Option) -> int:
        after = book.view(option.after)
        used = _shares_used(after)
        if not used:
            return 0
        least = sum(int((1 - u) * SCORE_MAX) for u in used) // len(used)
        mean = sum(used) / len(used)
        spread = math.sqrt(sum((u - mean) ** 2 for u in used) / len(used))
        return least + int((1 - spread) * SCORE_MAX)

    return score


def scattered(book: Book, mix: Mix) -> Score:
    """Any node state, drawn by a hash of the state and the shape."""

    def score(before: int, shape: int, option: Option) -> int:
        seen = f"{book.free(before)}/{book.view(before).gpu_free_milli}/{shape}".encode()
        return int.from_bytes(hashlib.blake2b(seen, digest_size=4).digest(), "big")

    return score


def _drawn_on(free: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    """What was free on the GPUs that changed. States list GPUs in any order, so the difference is of multisets."""
    left = list(after)
    changed = []
    for amount in free:
        if amount in left:
            left.remove(amount)
        else:
            changed.append(amount)
    return changed


def _shares_used(view: NodeView) -> list[float]:
    """Parts of CPU and memory in use; kube-scheduler counts a pod that asks for nothing as 100m and 200 MB."""
    cpu, memory = view.cpu_total_milli - view.cpu_free_milli, view.memory_total_bytes - view.memory_free_bytes
    used = max(cpu, 100 * view.pods), max(memory, 200_000_000 * view.pods)
    totals = view.cpu_total_milli, view.memory_total_bytes
    return [min(1.0, u / t) for u, t in zip(used, totals, strict=True) if t]


SCORES: dict[str, Callable[[Book, Mix], Score]] = {
    "stranding": stranding,
    "first-fit": first_fit,
    "best-fit": best_fit,
    "dot-product": dot_product,
    "gpu-packing": gpu_packing,
    "gpu-clustering": gpu_clustering,
    "fgd": fgd,
    "kube-scheduler": kube_scheduler,
    "random": scattered,
}
PRICED_SCORES: dict[str, Callable[[Book, Mix, Worths], Score]] = {"stranding": stranding}
"""Those that heed prices, where the policy carries any."""

LOSSES: dict[str, Callable[[Book, Mix], Loss]] = {"stranding": lost}
"""Those that are finer than their grades. The baselines are compared as they were published."""
