#!/usr/bin/env python3
"""Write the vectors of tests/corpus/http1 as seeds for http_fuzz into the folder given."""

import re
import sys
from pathlib import Path

KINDS = {"requests.txt": 0, "responses.txt": 1, "chunked.txt": 3}


def unescape(text):
    """The bytes that a vector stands for; the format is in the corpus' README."""
    out = bytearray()
    i = 0
    simple = {"r": 13, "n": 10, "t": 9}
    while i < len(text):
        if text[i] == "\\":
            i += 1
            if text[i] == "x":
                out.append(int(text[i + 1 : i + 3], 16))
                i += 2
            else:
                out.append(simple.get(text[i], ord(text[i])))
        elif text.startswith("{!}", i):
            i += 2
        elif text[i] == "{":
            end = text.index("}", i)
            piece, count = text[i + 1 : end].rsplit("*", 1)
            out += unescape(piece) * int(count)
            i = end
        else:
            out += text[i].encode("latin-1")
        i += 1
    return bytes(out)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    corpus = Path(__file__).parent.parent / "corpus" / "http1"
    for name, kind in KINDS.items():
        for number, line in enumerate((corpus / name).read_text().splitlines()):
            match = re.match(r"^(accept|reject|more)\b.*? \| ?(.*)$", line)
            if match:
                seed = bytes([kind, 0, 7]) + unescape(match.group(2))
                (folder / f"{Path(name).stem}-{number}").write_bytes(seed)


if __name__ == "__main__":
    main()
