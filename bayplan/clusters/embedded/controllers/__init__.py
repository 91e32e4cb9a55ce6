"""The controllers of the embedded cluster: what kube-controller-manager, JobSet and Kueue's job reconcilers do.

A job's Workload comes before the job itself: what has to wait is suspended before it makes pods.
"""

from bayplan.clusters.embedded.controllers import claims, deployment, expiry, job, jobset, lost
from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers.base import Controller
from bayplan.runtime.controllers.pods import Whose, pod_controller
from bayplan.runtime.controllers.queue import Controllers
from bayplan.runtime.controllers.workload import job_controllers
from bayplan.wire.names import SCHEDULER

OURS = Whose((SCHEDULER, "default-scheduler", ""))
"""An embedded cluster has no other scheduler."""

CONTROLLERS: tuple[Controller[Store], ...] = (
    *job_controllers(),
    jobset.CONTROLLER,
    job.CONTROLLER,
    deployment.DEPLOYMENT,
    deployment.REPLICA_SET,
    pod_controller(OURS),
    claims.GROUP_CLAIMS,
    claims.POD_CLAIMS,
    claims.CONSUMERS,
    lost.LOST,
    expiry.EXPIRY,
)

__all__ = ["CONTROLLERS", "OURS", "Controller", "Controllers"]
