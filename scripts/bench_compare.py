#!/usr/bin/env python3
"""Show two commits of benchmarks/history.jsonl side by side.

    scripts/bench_compare.py [BASE [CHANGE]]    default: the last two that were recorded

Several records of one commit count by their median. Ratios under 1 mean less than before.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

HISTORY = Path(__file__).resolve().parent.parent / "benchmarks" / "history.jsonl"


def load(path):
    """{commit: {row: ([values], unit)}} in the order of the records."""
    commits = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["quick"]:
            continue
        rows = commits.setdefault(record["commit"], {})
        for row in record["rows"]:
            if "value" in row:
                rows.setdefault(row["name"], ([], row["unit"]))[0].append(row["value"])
    return commits


def find(commits, name):
    matching = [commit for commit in commits if commit.startswith(name)]
    if len(matching) != 1:
        sys.exit(f"{name}: {len(matching)} recorded commits match")
    return matching[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="*", metavar="COMMIT")
    parser.add_argument("--history", type=Path, default=HISTORY)
    options = parser.parse_args()
    if not options.history.exists():
        sys.exit(f"{options.history}: nothing recorded yet (benchmarks/table.py --record)")
    commits = load(options.history)
    names = [find(commits, name) for name in options.commits]
    if len(names) < 2:
        rest = [commit for commit in commits if commit not in names]
        names = (names + rest[-1:]) if names else rest[-2:]
    if len(names) != 2:
        sys.exit("two recorded commits are needed")
    base, change = (commits[name] for name in names)
    print(f"| {'what':<36} | {names[0]:>14} | {names[1]:>14} | {'ratio':>6} | {'':<8} |")
    print(f"|{'-' * 38}|{'-' * 15}:|{'-' * 15}:|{'-' * 7}:|{'-' * 10}|")
    for name in base:
        if name not in change:
            continue
        before, after = statistics.median(base[name][0]), statistics.median(change[name][0])
        print(f"| {name:<36} | {before:>14,.2f} | {after:>14,.2f} | {after / before:>6.2f} | "
              f"{base[name][1]:<8} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
