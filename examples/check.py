#!/usr/bin/env python3
"""Run an example and compare what it prints with a file, line by line.

    examples/check.py EXPECTED COMMAND...

A line of the file is a regular expression that the whole line must match.
"""

import re
import subprocess
import sys


def main():
    expected = open(sys.argv[1], encoding="utf-8").read().splitlines()
    done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, timeout=100)
    lines = done.stdout.splitlines()
    print(done.stdout, end="")
    if done.returncode != 0:
        print(f"example ended with code {done.returncode}")
        return 1
    if len(lines) != len(expected):
        print(f"{len(lines)} lines, expected {len(expected)}")
        return 1
    for number, (line, pattern) in enumerate(zip(lines, expected), 1):
        if not re.fullmatch(pattern, line):
            print(f"line {number} is {line!r}, expected {pattern!r}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
