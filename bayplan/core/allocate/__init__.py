"""Device allocation: which devices a pod's claims get (Dynamic Resource Allocation, resource.k8s.io/v1).

Reading order: `pools` (what a node reaches), `components` (GPUs as state machines), `asks` (questions), `search`
(exact answers), `objective` (better answers), `catalog` (each question answered once), `result` (the API's words).
"""

from bayplan.core.allocate.catalog import Catalog, Fit
from bayplan.core.allocate.figures import NO_WORTH, Misfit, Worth
from bayplan.core.allocate.inventory import Taken
from bayplan.core.allocate.isolation import Isolation

__all__ = ["NO_WORTH", "Catalog", "Fit", "Isolation", "Misfit", "Taken", "Worth"]
