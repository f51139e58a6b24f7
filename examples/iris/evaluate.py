"""Measure a model on held-back rows and write the result as a step summary.

python3 evaluate.py model.json test.csv --summary "$GITHUB_STEP_SUMMARY"
"""

import argparse
import json
from pathlib import Path

from train import probabilities, read_table, standardise


def main() -> None:
    """Print the accuracy and append a Markdown table of the confusions to the summary."""
    parser = argparse.ArgumentParser(description="Evaluate a softmax classifier.")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--summary", type=Path, required=True)
    arguments = parser.parse_args()

    model = json.loads(arguments.model.read_text())
    classes, weights = model["classes"], model["weights"]
    _columns, features, labels = read_table(arguments.data)
    guesses = []
    for row in features:
        chances = probabilities(weights, standardise(row, model["scale"]))
        guesses.append(classes[chances.index(max(chances))])
    pairs = list(zip(labels, guesses, strict=True))
    accuracy = sum(label == guess for label, guess in pairs) / len(labels)
    print(f"Accuracy on {len(labels)} held-back flowers: {accuracy:.1%}")
    with arguments.summary.open("a") as summary:
        summary.write(f"## Iris: accuracy {accuracy:.1%}\n\n")
        summary.write("| species | " + " | ".join(f"taken for {name}" for name in classes) + " |\n")
        summary.write("| --- |" + " --- |" * len(classes) + "\n")
        for label in classes:
            counts = [str(pairs.count((label, guess))) for guess in classes]
            summary.write(f"| {label} | " + " | ".join(counts) + " |\n")


if __name__ == "__main__":
    main()
