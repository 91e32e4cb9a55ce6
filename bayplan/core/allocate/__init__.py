"""Device allocation: which devices a pod's claims get (Dynamic Resource Allocation, resource.k8s.io/v1).

Reading order: `pools` (what a node reaches), `components` (GPUs as state machines) and `inventory` (who owns which),
`asks` (questions, compiled) with `selectors`, `capacity` and `constraints`, `offers` (what a GPU has for a request),
`search` (exact answers) with `sizes` and `lookahead`, `objective`, `nearness` and `packing` (better answers), `result`
(the API's words), `catalog` (each question answered once) with `questions` and `figures`, `single` (one pod on one
node, as kube-scheduler would ask), `isolation`, `allocatable` (what devices take of the node's cores and memory).
"""

from bayplan.core.allocate.allocatable import Charge, charges, total
from bayplan.core.allocate.board import Verdict
from bayplan.core.allocate.catalog import Catalog, Fit
from bayplan.core.allocate.figures import NO_WORTH, Misfit, Worth
from bayplan.core.allocate.inventory import Taken
from bayplan.core.allocate.isolation import ANY, Terms
from bayplan.core.allocate.nearness import Separation
from bayplan.core.allocate.single import Answer, allocate

__all__ = [
    "ANY",
    "NO_WORTH",
    "Answer",
    "Catalog",
    "Charge",
    "Fit",
    "Misfit",
    "Separation",
    "Taken",
    "Terms",
    "Verdict",
    "Worth",
    "allocate",
    "charges",
    "total",
]
