"""`agent machine`: what this machine would register."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TextIO

from agent.cli.arguments import add_command, add_format, add_subcommands, describe
from agent.cli.machine.gpu_text import describe_facts, draw_links
from agent.cli.machine.top import add_top
from agent.spec.resources import Gpu, Inventory, derive_labels, to_json


def configure(parser: argparse.ArgumentParser) -> None:
    """`agent machine show`."""
    describe(parser, "What this machine has.", "agent machine show --format json")
    commands = add_subcommands(parser)
    meaning = "show what would be registered: cpu, memory, disks, GPUs, labels, tools"
    add_format(add_command(commands, "show", _show, meaning, "agent machine show --format json"))
    add_top(commands)


def show_machine(output_format: str, out: TextIO) -> int:
    """Print this machine's inventory and labels to `out`, as `text` or `json`; the exit status is 0.

    Problems are part of the answer, not a failure of the command (`agent doctor` judges them).
    """
    from agent.cli.machine.own_inventory import take_own_inventory
    from agent.config import load_settings

    inventory = take_own_inventory(load_settings())
    labels = derive_labels(inventory)
    if output_format == "json":
        print(json.dumps({**to_json(inventory), "labels": list(labels)}, indent=2), file=out)
        return 0
    rows = list(_list_rows(inventory, labels))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}", file=out)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    return show_machine(arguments.format, sys.stdout)


def _list_rows(inventory: Inventory, labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield "machine", inventory.hostname
    yield "system", f"{inventory.os_version} ({inventory.os} {inventory.arch}, kernel {inventory.kernel})"
    yield "cpu", f"{inventory.cpu_model}, {inventory.cpu_count} cores"
    yield "memory", _format_bytes(inventory.memory_bytes)
    for disk in inventory.disks:
        yield (
            "disk",
            f"{disk.path}: {_format_bytes(disk.free_bytes)} free of {_format_bytes(disk.total_bytes)}",
        )
    for gpu in inventory.gpus:
        yield f"gpu {gpu.index}", _describe_gpu(gpu)
        for line in describe_facts(gpu):
            yield "", line
    if not inventory.gpus:
        yield "gpu", "none"
    if inventory.share:
        yield "share", inventory.share
    for number, line in enumerate(draw_links(inventory.gpus, inventory.links)):
        yield "" if number else "links", line
    yield (
        "tools",
        ", ".join(f"{name} {version}" for name, version in sorted(inventory.tools.items())) or "none",
    )
    yield "labels", ", ".join(labels)
    for problem in inventory.problems:
        yield "problem", problem


def _describe_gpu(gpu: Gpu) -> str:
    facts = [gpu.name, "n/a" if gpu.memory_bytes is None else _format_bytes(gpu.memory_bytes)]
    facts += [f"driver {gpu.driver}"] if gpu.driver else []
    facts += [f"CUDA {gpu.cuda}"] if gpu.cuda else []
    facts += [f"compute {gpu.compute_capability}"] if gpu.compute_capability else []
    facts.append(gpu.uuid)
    facts += [f"of {gpu.mig_parent}"] if gpu.mig_parent else []
    return ", ".join(facts)


def _format_bytes(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
