#!/usr/bin/env python3
"""Put regions of compiled files into the documentation, or check that they are there.

    scripts/snippets.py           rewrite the snippets
    scripts/snippets.py --check   exit 1 when one differs, or when a document names what is not there

A document says `<!-- snippet: FILE REGION -->` ... `<!-- end -->`; the file marks the region with
`[REGION]` and `[/REGION]` in comments. Files and folders in backticks and links must exist (`<x>`
and `*` stand for any text); `Class::member` must be a member of a class of the library.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# where the name of a file in a document may begin
BASES = ("", "include/", "include/knative/", "src/", "src/*/", "src/*/*/", "docs/", "tests/*/",
         "tests/*/*/", "bindings/python/src/")
SUFFIXES = (".cpp", ".hpp", ".py", ".md", ".yaml", ".txt", "/")
TOP = ("include", "src", "scripts", "tests", "docs", "examples", "benchmarks", "tools", "bindings",
       "cmake", ".ci", "knative")
ELSEWHERE = {"javadoc.hpp", "doc_*.cpp", "log_format.md", "corpus/", "issues/"}  # of other projects
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


def is_path(text):
    return (text not in ELSEWHERE and not text.startswith("build/")
            and re.fullmatch(r"[\w.*<-][\w./*<>-]*", text) is not None
            and (text.endswith(SUFFIXES) or text.split("/")[0] in TOP and "/" in text))


def exists(text):
    pattern = re.sub(r"<\w+>", "*", text).rstrip("/")
    return any(next(ROOT.glob(base + pattern), None) is not None for base in BASES)


def is_member(name, sources):
    owner, member = name.split("::")[-2:]
    word = re.compile(rf"\b{owner}\b[^;]*?{{.*?\b{member}\b|\b{owner}::{member}\b", re.S)
    return any(owner in text and member in text and word.search(text) for text in sources)


def wrong_names():
    sources = [path.read_text() for folder in ("include", "src")
               for path in sorted((ROOT / folder).rglob("*.[ch]pp"))]
    wrong = []
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
        for name in re.findall(r"`([^`\s]+)`", text):
            if is_path(name) and not exists(name):
                wrong.append(f"{document.name}: there is no {name}")
            member = re.fullmatch(r"((?:\w+::)+\w+)(\(\))?", name)
            if member and "knative::" not in name and not is_member(member[1], sources):
                wrong.append(f"{document.name}: there is no member {name}")
        for link in re.findall(r"\]\(([^)#\s]+)\)", text):
            if "://" not in link and not (document.parent / link).exists():
                wrong.append(f"{document.name}: the link {link} leads nowhere")
    return wrong


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
    wrong = wrong_names()
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
