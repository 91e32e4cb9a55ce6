"""The controllers of the embedded cluster: what kube-controller-manager, JobSet and Kueue's job reconcilers do.

A job's Workload comes before the job itself: what has to wait is suspended before it makes pods.
"""

from bayplan.clusters.embedded.controllers import claims, deployment, events, job, jobset, pods
from bayplan.clusters.embedded.controllers.base import Controller
from bayplan.clusters.embedded.controllers.queue import Controllers
from bayplan.clusters.embedded.controllers.workload import job_controllers

CONTROLLERS: tuple[Controller, ...] = (
    *job_controllers(),
    jobset.CONTROLLER,
    job.CONTROLLER,
    deployment.DEPLOYMENT,
    deployment.REPLICA_SET,
    pods.CONTROLLER,
    claims.POD_CLAIMS,
    claims.CONSUMERS,
    pods.LOST,
    events.EXPIRY,
)

__all__ = ["CONTROLLERS", "Controller", "Controllers"]
