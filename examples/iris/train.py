"""Train a softmax classifier on a CSV file, with the standard library only.

python3 train.py train.csv --epochs 200 --model model.json --metrics metrics.json
"""

import argparse
import csv
import json
import math
import statistics
from pathlib import Path

LEARNING_RATE = 0.1


def main() -> None:
    """Train, show the loss as it falls, and write the model and its metrics."""
    parser = argparse.ArgumentParser(description="Train a softmax classifier.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--model", type=Path, default=Path("model.json"))
    parser.add_argument("--metrics", type=Path, default=Path("metrics.json"))
    arguments = parser.parse_args()

    columns, features, labels = read_table(arguments.data)
    scale = [
        (statistics.fmean(column), statistics.pstdev(column) or 1.0) for column in zip(*features, strict=True)
    ]
    points = [standardise(row, scale) for row in features]
    classes = sorted(set(labels))
    weights = [[0.0] * (len(columns) + 1) for _ in classes]
    losses = []
    for epoch in range(1, arguments.epochs + 1):
        losses.append(train_one_epoch(weights, points, [classes.index(label) for label in labels]))
        if epoch == 1 or epoch % max(1, arguments.epochs // 10) == 0:
            print(f"epoch {epoch:4d}  loss {losses[-1]:.4f}", flush=True)
    model = {"columns": columns, "classes": classes, "scale": scale, "weights": weights}
    arguments.model.write_text(json.dumps(model, indent=2) + "\n")
    metrics = {"rows": len(points), "epochs": arguments.epochs, "loss": losses[-1], "losses": losses}
    arguments.metrics.write_text(json.dumps(metrics) + "\n")


def read_table(path: Path) -> tuple[list[str], list[list[float]], list[str]]:
    """(names of the feature columns, their values, the classes) of a CSV file whose last column is the class."""
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    return header[:-1], [[float(value) for value in row[:-1]] for row in rows], [row[-1] for row in rows]


def standardise(row: list[float], scale: list[tuple[float, float]]) -> list[float]:
    """`row` with each column at mean 0 and deviation 1, and a constant 1 at the end for the bias."""
    return [(value - mean) / deviation for value, (mean, deviation) in zip(row, scale, strict=True)] + [1.0]


def probabilities(weights: list[list[float]], point: list[float]) -> list[float]:
    """The softmax of the classes' scores."""
    scores = [sum(weight * value for weight, value in zip(row, point, strict=True)) for row in weights]
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def train_one_epoch(weights: list[list[float]], points: list[list[float]], labels: list[int]) -> float:
    """One step of gradient descent on all points; changes `weights`, gives the mean cross-entropy before it."""
    gradient = [[0.0] * len(row) for row in weights]
    loss = 0.0
    for point, label in zip(points, labels, strict=True):
        chances = probabilities(weights, point)
        loss -= math.log(chances[label]) / len(points)
        for index, chance in enumerate(chances):
            error = (chance - (index == label)) / len(points)
            for column, value in enumerate(point):
                gradient[index][column] += error * value
    for row, slope in zip(weights, gradient, strict=True):
        for column, value in enumerate(slope):
            row[column] -= LEARNING_RATE * value
    return loss


if __name__ == "__main__":
    main()
