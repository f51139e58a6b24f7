"""`agent run metrics`: what a run's jobs and their GPUs did: a line of blocks a figure on a terminal, a table in a pipe."""

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from agent.cli.arguments import add_command, add_server, read_number, read_run
from agent.cli.client import connect
from agent.cli.terminal.progress import size_text
from agent.cli.terminal.streams import holds_unicode
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.errors import NotFoundError

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 48
_MOST_POINTS = 2000


def add_metrics(commands: Any) -> None:
    """Declare the command."""
    meaning = "What a run's jobs did of CPU, memory, disk, network and GPUs, over time."
    parser = add_command(commands, "metrics", _metrics, meaning, "agent run metrics 12 --format csv")
    parser.add_argument("run", type=read_run, metavar="RUN")
    parser.add_argument(
        "--format",
        choices=["text", "json", "csv"],
        default="text",
        help="text for people, the others for programs",
    )
    add_server(parser)
    parser.add_argument("--job", metavar="KEY", help="only this job")
    parser.add_argument(
        "--points",
        type=read_number,
        default=0,
        help=f"at most so many for each figure (up to {_MOST_POINTS})",
    )


def _metrics(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    run = client.get(f"/api/v1/runs/{arguments.run}")
    jobs = [job for job in run["jobs"] if arguments.job in (None, job["key"])]
    if not jobs:
        raise NotFoundError(
            f"run {arguments.run} has no job '{arguments.job}'",
            hint=f"agent run show {arguments.run} lists them",
        )
    points = min(arguments.points or (500 if arguments.format in ("json", "csv") else _WIDTH), _MOST_POINTS)
    charts = [
        {"key": job["key"], **client.get(f"/api/v1/jobs/{job['id']}/metrics", points=max(points, 2))}
        for job in jobs
    ]
    if arguments.format == "json":
        print_json({"run": run["id"], "jobs": charts}, sys.stdout)
    elif arguments.format == "csv":
        _print_csv(charts, sys.stdout)
    else:
        _print_text(charts, sys.stdout)
    return 0


def _print_csv(charts: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """A row a job and time; a column a figure. An empty field: nothing is known."""
    names = sorted({_title(series) for chart in charts for series in chart["series"]})
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["job", "time", *names])
    for chart in charts:
        found = {_title(series): series["mean"] for series in chart["series"]}
        for place, time in enumerate(chart["times"]):
            values = [found[name][place] if name in found else None for name in names]
            writer.writerow([chart["key"], time, *("" if value is None else value for value in values)])


def _print_text(charts: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    draws = out.isatty() and holds_unicode(out)
    titles = ["job", "figure", "mean", "most", "last", *(["over time"] if draws else [])]
    rows = [row for chart in charts for row in _rows(chart, draws=draws)]
    if not rows:
        out.write(
            "none of its jobs was sampled: they were too short, or ran on an agent before this version\n"
        )
        return
    print_table(titles, rows, out)


def _rows(chart: Mapping[str, Any], *, draws: bool) -> Iterator[list[str]]:
    for series in chart["series"]:
        values = [value for value in series["mean"] if value is not None]
        if not values:
            continue
        name = series["name"]
        most = max(value for value in (series["most"] or series["mean"]) if value is not None)
        last = series["mean"][-1]
        row = [
            plain(chart["key"]),
            _title(series) + (f" ({', '.join(series['reasons'])})" if series["reasons"] else ""),
            show_figure(name, sum(values) / len(values)),
            show_figure(name, most),
            "n/a" if last is None else show_figure(name, last),
        ]
        yield [*row, draw_blocks(series["mean"])] if draws else row


def _title(series: Mapping[str, Any]) -> str:
    return str(series["name"]) if series["gpu"] is None else f"gpu{series['gpu']}_{series['name']}"


def show_figure(name: str, value: float) -> str:
    """A value in the unit that its name ends in."""
    if name.endswith("bytes_per_second"):
        return f"{size_text(round(value))}/s"
    if name.endswith("bytes"):
        return size_text(round(value))
    if name.endswith("hertz"):
        return f"{value / 1e6:.0f} MHz"
    unit = next((word for end, word in _UNITS.items() if name.endswith(end)), "")
    return f"{value:.0f}{unit}"


_UNITS = {"percent": " %", "percent_of_time": " %", "watts": " W", "celsius": " °C"}


def draw_blocks(values: Sequence[float | None]) -> str:
    """A block for each value, its height from nothing to the most; a space where nothing is known."""
    most = max((value for value in values if value is not None), default=0) or 1
    scale = len(_BLOCKS) - 1
    return "".join(" " if value is None else _BLOCKS[round(max(value, 0) / most * scale)] for value in values)
