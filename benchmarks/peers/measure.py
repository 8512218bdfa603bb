"""What the comparisons share: starting peers, interleaved rounds, medians of per-round ratios."""

import json
import statistics
import subprocess
import sys
from pathlib import Path


class Peer:
    """A server process that prints its port as its first line."""

    def __init__(self, name, command, port=None):
        self.name = name
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, text=True
        )
        self.port = port or self.read_port()

    def read_port(self):
        """The number on its next line of output."""
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise SystemExit(f"{self.name} did not start: its first line is {line!r}")
        return int(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)


def load(binary, peer, connections, seconds, *more):
    """One round of load against a peer: the load generator's figures."""
    command = [binary, peer.port, connections, seconds, peer.process.pid, *more]
    run = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(run.stdout)


def interleave(binary, peers, rounds, connections, seconds, *more):
    """Rounds over all peers, the order reversed every time. {name: [figures per round]}."""
    figures = {peer.name: [] for peer in peers}
    for peer in peers:  # warm
        load(binary, peer, connections, min(seconds, 0.3), *more)
    for number in range(rounds):
        for peer in peers if number % 2 == 0 else reversed(peers):
            figures[peer.name].append(load(binary, peer, connections, seconds, *more))
        print(f"\rround {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return figures


def median(figures, key):
    return statistics.median(one[key] for one in figures)


def ratios(figures, base, key):
    """Ratio of each round to the base's of the same round: (median, least, greatest)."""
    each = [one[key] / other[key] for one, other in zip(figures, base)]
    return statistics.median(each), min(each), max(each)


def verdict(figures, ours, base, key, mark, holds):
    """What table.py reads: one comparison as a dictionary."""
    middle, least, greatest = ratios(figures[ours], figures[base], key)
    return {
        "ratio": middle, "least": least, "greatest": greatest,
        "rounds": len(figures[ours]), "mark": mark, "holds": holds(middle),
        "ours": {name: median(figures[ours], name) for name in figures[ours][0]},
        "base": {name: median(figures[base], name) for name in figures[base][0]},
    }


def print_table(figures, base):
    """One line a peer, the ratio columns relative to `base`."""
    print(f"{'':22} {'req/s':>9} {'ratio':>6} {'(range)':>13} {'CPU us/req':>11} {'ratio':>6} "
          f"{'(range)':>13} {'p50 us':>7} {'p99 us':>7}")
    for name, rounds in figures.items():
        rate = ratios(rounds, figures[base], "requests_per_second")
        cpu = ratios(rounds, figures[base], "cpu_us_per_request")
        print(f"{name:22} {median(rounds, 'requests_per_second'):9.0f} {rate[0]:6.2f} "
              f"({rate[1]:.2f} - {rate[2]:.2f}) {median(rounds, 'cpu_us_per_request'):11.2f} "
              f"{cpu[0]:6.2f} ({cpu[1]:.2f} - {cpu[2]:.2f}) {median(rounds, 'p50_us'):7.0f} "
              f"{median(rounds, 'p99_us'):7.0f}")


def arguments(parser):
    parser.add_argument("--build", type=Path, default=Path("build/release"),
                        help="build directory with KNATIVE_BENCHMARKS=ON")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--body", type=int, default=200, help="bytes of a response's body")
    parser.add_argument("--json", action="store_true", help="print the ratios as JSON only")
    return parser.parse_args()
