"""Workflows for the comparison with GitHub's parser: good ones that we wrote, and small damages done to them."""

import random
import re

GOOD = [
    """\
name: CI
run-name: by ${{ github.actor }}
on:
  push:
    branches: [main, 'release/**', '!release/**-alpha']
    paths-ignore: ['docs/**']
  pull_request:
    types: [opened, synchronize]
    branches: main
  schedule:
    - cron: '30 5,17 * * 1-5'
      timezone: Europe/Berlin
  workflow_dispatch:
    inputs:
      level:
        description: How loud
        type: choice
        default: info
        options: [info, warning]
      dry:
        type: boolean
        default: false
env:
  A: 1
  B: 1.10
  C: true
  D:
  E: ${{ vars.E }}
defaults:
  run:
    shell: bash
    working-directory: src
permissions:
  contents: read
  id-token: write
concurrency:
  group: ci-${{ github.ref }}
  cancel-in-progress: true
jobs:
  build:
    name: Build ${{ matrix.os }}
    runs-on: ${{ matrix.os }}
    timeout-minutes: 30
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix:
        os: [ubuntu-latest, windows-latest]
        python: ['3.11', 3.12]
        include:
          - os: ubuntu-latest
            extra: {deep: [1, 2]}
        exclude:
          - os: windows-latest
            python: 3.12
    env:
      X: ${{ secrets.X }}
    outputs:
      version: ${{ steps.v.outputs.version }}
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - id: v
        name: Version
        run: |
          echo "version=${{ github.sha }}" >> "$GITHUB_OUTPUT"
        shell: bash
        env: {Y: '${{ matrix.python }}'}
      - if: ${{ failure() && steps.v.outcome == 'failure' }}
        run: echo bad
        continue-on-error: true
        timeout-minutes: 5
  test:
    needs: build
    if: needs.build.result == 'success' && !cancelled()
    runs-on: [self-hosted, gpu]
    container:
      image: node:20
      env:
        N: 1
      ports: [80]
      credentials:
        username: ${{ github.actor }}
        password: ${{ secrets.TOKEN }}
    services:
      db:
        image: postgres
        options: --health-cmd pg_isready
    environment:
      name: staging
      url: ${{ steps.v.outputs.url }}
    steps:
      - run: echo ${{ hashFiles('**/lock') }}
""",
    """\
on: [push, workflow_call]
jobs:
  one:
    runs-on: {group: organization/gpus, labels: [a, b]}
    continue-on-error: ${{ github.ref == 'x' }}
    concurrency: deploy
    steps:
      - id: server
        run: npm start
        background: true
      - wait: server
      - wait-all:
      - cancel: server
      - parallel:
          - run: a
          - uses: ./local
  two:
    needs: [one]
    uses: ./.github/workflows/other.yml
    with:
      a: ${{ needs.one.outputs.a }}
      b: 5
    secrets: inherit
  three:
    needs:
      - one
      - two
    strategy:
      matrix: ${{ fromJSON(needs.one.outputs.m) }}
    uses: owner/repo/.github/workflows/x.yml@main
    secrets:
      token: ${{ secrets.token }}
""",
    """\
on:
  workflow_call:
    inputs:
      name: {type: string, required: true, default: x}
      count:
        type: number
        default: 5
    secrets:
      key: {required: true}
      other:
    outputs:
      o:
        value: ${{ jobs.a.outputs.o }}
  repository_dispatch:
    types: [go]
  workflow_run:
    workflows: [CI]
    types: completed
    branches-ignore: [wip]
jobs:
  a:
    runs-on: &labels
      - x
      - y
    if: always()
    defaults:
      run:
        shell: ${{ matrix.shell }}
    snapshot: image
    permissions: read-all
    steps: &steps
      - &first
        run: >-
          one
          two ${{ inputs.name }}
      - *first
      - run: "${{ 'it''s' }}"
  b:
    runs-on: *labels
    environment: production
    steps: *steps
""",
]

# Values that stand where others stood; each is wrong in most places.
_VALUES = [
    "", "null", "~", "true", "'true'", "5", "'5'", "1.5", "1e3", "0o7", "x", "''", "[a, b]", "[]", "{a: b}", "{}",
    "${{ github.ref }}", "${{ secrets.A }}", "${{ steps.a.outputs.b }}", "${{ matrix.a }}", "${{ needs.x }}",
    "${{ nothing.a }}", "${{ }}", "${{ 1 +", "${{ 'text' }}", "${{ fromJSON('[1]') }}", "a ${{ env.A }} b",
    "${{ insert }}", "x ${{ insert }}", "${{ hashFiles('a') }}", "${{ success() }}", "${{ failure('a', 'b') }}",
    "${{ unknown() }}", "${{ contains('a') }}", "${{ inputs.a }} && ${{ vars.b }}", "read", "write", "none",
    "read-all", "inherit", "0 0 * * *", "61 * * * *", "self", "__x", "a.b", "opened", "max", "single",
]  # fmt: skip
_KEYS = [
    "runs-on", "run", "uses", "with", "id", "if", "env", "name", "steps", "needs", "jobs", "on", "wait", "wait-all",
    "cancel", "parallel", "background", "secrets", "unknown", "Name", "RUN", "1", "true", "<<", "${{ insert }}",
    "strategy", "matrix", "types", "branches", "description", "group", "queue", "image", "__id", "a.b",
]  # fmt: skip
_PAIR = re.compile(r"^(\s*(?:- )*)([^\s#'\"{\[&*-][^:]*):(?:\s+(.*))?$")


def make_corpus(count: int, seed: int) -> list[str]:
    """The good workflows, and `count` damaged ones; the same for the same seed."""
    source = random.Random(seed)
    return [*GOOD, *(_damage(source.choice(GOOD), source) for _ in range(count))]


def _damage(text: str, source: random.Random) -> str:
    lines = text.splitlines()
    for _ in range(source.choice([1, 1, 1, 2])):
        _damage_line(lines, source)
    return "\n".join(lines) + "\n"


def _damage_line(lines: list[str], source: random.Random) -> None:
    pairs = [index for index, line in enumerate(lines) if _PAIR.match(line)]
    index = source.choice(pairs)
    match = _PAIR.match(lines[index])
    assert match
    lead, key, value = match[1], match[2], match[3] or ""
    kind = source.choice(["value", "value", "value", "key", "key", "remove", "double", "insert"])
    if kind == "value":
        lines[index] = f"{lead}{key}: {source.choice(_VALUES)}"
        _drop_children(lines, index)
    elif kind == "key":
        lines[index] = f"{lead}{source.choice(_KEYS)}:{' ' + value if value else ''}"
    elif kind == "remove" and "- " not in lead:
        _drop_children(lines, index)
        del lines[index]
    elif kind == "double":
        lines.insert(
            index,
            " " * len(lead) + f"{key.upper() if source.random() < 0.3 else key}: {source.choice(_VALUES)}",
        )
        if "- " in lead:
            lines[index], lines[index + 1] = (
                lead + lines[index].strip(),
                " " * len(lead) + lines[index + 1].strip()[2:],
            )
    else:
        lines.insert(index, " " * len(lead) + f"{source.choice(_KEYS)}: {source.choice(_VALUES)}")


def _drop_children(lines: list[str], index: int) -> None:
    depth = len(lines[index]) - len(lines[index].lstrip())
    after = index + 1
    while after < len(lines) and len(lines[after]) - len(lines[after].lstrip()) > depth:
        del lines[after]
