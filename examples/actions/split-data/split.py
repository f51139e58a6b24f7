"""Split FILE into train.csv and test.csv, class by class, and report the row counts as step outputs."""

import csv
import os
import random
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Read the settings from the environment and write the two files into the current folder."""
    with Path(os.environ["FILE"]).open(newline="") as file:
        header, *rows = list(csv.reader(file))
    by_class: dict[str, list[list[str]]] = defaultdict(list)
    for row in rows:
        by_class[row[-1]].append(row)
    shuffle = random.Random(int(os.environ["SEED"])).shuffle
    train: list[list[str]] = []
    test: list[list[str]] = []
    for members in by_class.values():
        shuffle(members)
        held_back = round(len(members) * float(os.environ["TEST_SHARE"]))
        test += members[:held_back]
        train += members[held_back:]
    for name, part in (("train", train), ("test", test)):
        with Path(f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *part])
        with Path(os.environ["GITHUB_OUTPUT"]).open("a") as outputs:
            outputs.write(f"{name}-rows={len(part)}\n")
    print(f"{len(train)} rows to train on, {len(test)} held back for the test")


main()
