"""`bayplan run --gpus 8 --nodes 2 -- python train.py`: a command, GPUs for it, and when it will start."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import typer
import yaml
from rich.text import Text

from bayplan.app import ask
from bayplan.app.client import Client, connect
from bayplan.app.following import follow
from bayplan.app.submit import Wish, choose_level, choose_queue, job_objects, missing_priority, paths
from bayplan.app.views.plan import PlanView
from bayplan.cli.common import (
    Exit,
    KubeconfigOption,
    NamespaceOption,
    Output,
    OutputOption,
    console,
    end,
    note,
    show,
    show_json,
)
from bayplan.cli.why import why_answer
from bayplan.model.policy import Policy

POLL_S = 1.0


def run(
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    gpus: Annotated[int, typer.Option("--gpus", "-g", min=0, max=1024, help="GPUs of each pod.")] = 0,
    nodes: Annotated[int, typer.Option("--nodes", "-N", min=1, max=10_000, help="Pods, started together.")] = 1,
    gpu_memory: Annotated[str, typer.Option("--gpu-memory", help="A share of one GPU instead, such as 12Gi.")] = "",
    queue: Annotated[str, typer.Option("--queue", "-q", help="Queue; not needed where there is only one.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the job; else after the command.")] = "",
    image: Annotated[str, typer.Option("--image", help="Container image.")] = "python:3.12",
    cpu: Annotated[str, typer.Option("--cpu", help="CPU of each pod.")] = "",
    memory: Annotated[str, typer.Option("--memory", help="Memory of each pod.")] = "",
    priority: Annotated[str, typer.Option("--priority", help="WorkloadPriorityClass.")] = "",
    topology: Annotated[str, typer.Option("--topology", help="Level to share: rack, block, …")] = "",
    required: Annotated[
        bool, typer.Option("--required/--preferred", help="Whether the pods must or should share it.")
    ] = False,
    runtime: Annotated[str, typer.Option("--runtime", help="How long it will run: 90s, 30min, 2h.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the objects and create nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Stay until it ends; exit code 1 if it fails.")] = False,
    logs: Annotated[bool, typer.Option("--logs", "-f", help="Follow the log of its first pod, and wait.")] = False,
    namespace: NamespaceOption = "",
    output: OutputOption = Output.text,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Run a command on GPUs: writes a Job and its claim, and says when it starts."""
    wish = Wish(
        command=tuple(command),
        name=name,
        image=image,
        nodes=nodes,
        gpus=gpus,
        gpu_memory=gpu_memory,
        cpu=cpu,
        memory=memory,
        priority=priority,
        topology=topology,
        is_required=required,
        runtime=runtime,
    )
    with connect(kubeconfig) as client:
        objects = _objects(client, wish, queue, namespace)
        if dry_run:
            _print_objects(objects, output)
            return
        view = ask.planned(client, "bayplan run", objects)
        for path, obj in paths(objects):
            client.create(path, obj)
        _report(objects, view, output)
        if wait or logs:
            _stay(client, objects[-1], logs=logs)


def _objects(client: Client, wish: Wish, queue: str, namespace: str) -> list[dict[str, Any]]:
    snapshot = client.observe().snapshot
    space, chosen = choose_queue(snapshot, queue, namespace)
    missing_priority(snapshot, wish.priority)
    return job_objects(wish, space, chosen, choose_level(snapshot, Policy(), wish.topology))


def _print_objects(objects: list[dict[str, Any]], output: Output) -> None:
    if output is Output.json:
        show_json("List", {"items": objects})
    else:
        print(yaml.safe_dump_all(objects, sort_keys=False), end="")


def _report(objects: list[dict[str, Any]], view: PlanView, output: Output) -> None:
    made = [f"{o['kind']} {o['metadata']['namespace']}/{o['metadata']['name']}" for o in objects]
    if output is Output.json:
        show_json("Submitted", {"created": made, "name": objects[-1]["metadata"]["name"], "plan": view})
        return
    show(Text().append("created ", style="green").append(" and ".join(reversed(made))))
    for answer in view.answers:
        show(why_answer(answer, console().width))


def _stay(client: Client, job: dict[str, Any], *, logs: bool) -> None:
    """Follows the job to its end."""
    pause = threading.Event()
    for step in follow(client, job["metadata"]["namespace"], job["metadata"]["name"], logs=logs):
        if step.log:
            print(step.log, end="", flush=True)
        if step.news:
            note(step.news)
        if step.ended is not None:
            end(Exit.OK if step.ended else Exit.NO)
        pause.wait(POLL_S)
