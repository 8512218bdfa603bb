#!/usr/bin/env python3
"""Put regions of compiled files into the documentation, or check that they are there.

    scripts/snippets.py           rewrite the snippets
    scripts/snippets.py --check   exit 1 when one differs

A document says `<!-- snippet: FILE REGION -->` ... `<!-- end -->`; the file marks the region with
`[REGION]` and `[/REGION]` in comments.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {".cpp": "cpp", ".py": "python", ".yaml": "yaml"}


def region(file, name):
    lines = (ROOT / file).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if f"[{name}]" in line)
    last = next(i for i, line in enumerate(lines) if f"[/{name}]" in line)
    body = "\n".join(lines[first + 1:last]).strip("\n")
    return f"```{LANGUAGES[Path(file).suffix]}\n{body}\n```\n"


def filled(text):
    return re.sub(r"(<!-- snippet: (\S+) (\S+) -->\n).*?(<!-- end -->)",
                  lambda m: m.group(1) + region(m.group(2), m.group(3)) + m.group(4), text,
                  flags=re.S)


def main():
    stale = []
    for document in DOCUMENTS:
        text = document.read_text()
        wanted = filled(text)
        if text != wanted:
            stale.append(document.name)
            if "--check" not in sys.argv:
                document.write_text(wanted)
    if stale and "--check" in sys.argv:
        print("snippets differ in", ", ".join(stale))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
