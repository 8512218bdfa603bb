#!/usr/bin/env python3
"""Check the rules of docs/style.md that a program can check. Exit 1 when one is broken.

    scripts/tidy.py            check the tree
    scripts/tidy.py --selftest check the checks
    scripts/tidy.py --graph    print who includes whom, room by room

Exceptions stand in EXCEPTIONS with their reason; an exception that is no longer needed is an
error too.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# floor number of every public header; a header may include its own floor and lower ones
HEADERS = {
    "version": 0, "error": 0, "value": 0, "fiber": 0, "coroutine": 0, "task": 0, "io": 0, "env": 0,
    "timers": 0, "random": 0, "offload": 0, "logger": 0, "network": 0, "files": 0, "processes": 0,
    "isolation": 0,
    "metrics": 0, "tls": 0, "asio": 0,
    "fwd": 0,  # names only, of all floors; includes nothing
    "http": 1, "http_headers": 1, "http_url": 1, "http_server": 1, "http_client": 1,
    "http_outbound": 1, "event": 1, "oci": 1, "oci_archive": 1, "oci_image": 1, "oci_layer": 1,
    "scalars": 2, "field_error": 2, "fields": 2, "fields_types": 2, "meta": 2, "kinds": 2,
    "object": 2, "volume": 2, "delivery": 2, "serving_status": 2, "pod": 2, "probe": 2, "core": 2, "build": 2, "serving": 2,
    "eventing": 2, "manifest": 2,
    "readiness": 2,
    "log": 3, "selectors": 3, "store": 3, "client": 3,
    "container": 4, "container_runtimes": 4, "sandbox_runtime": 4, "oci_runtime": 4,
    "zygote_runtime": 4,
    "functions": 4, "workload": 4, "router": 4, "throttler": 4, "autoscaler": 4, "autoscaler_config": 4,
    "scale_decision": 4, "event_broker": 4, "parked": 4, "retry_schedule": 4,
    "builder": 4, "registry_client": 4, "registry_credentials": 4, "registry_server": 4,
    "controller": 4,
    "simulation": 1, "faults": 1, "load": 1,
    "reconciler": 5, "door": 5, "access": 5, "extension": 5, "platform_options": 5,
    "platform": 5, "platform_thread": 5, "extensions": 5,
    "knative": 6,
}
FLOORS = {"base": 0, "simulation": 1, "wire": 1, "model": 2, "state": 3, "engines": 4, "platform": 5,
          "extensions": 6}
ENGINES = {"workload", "router", "autoscaler", "event_broker", "builder", "controller", "registry"}

MIRRORS = {"core", "pod", "build", "serving", "eventing"}

HEADER_LINES_MAX = 300
SOURCE_LINES_MAX = 900
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# For hosts that have the foreign library anyway; knative.hpp does not include them.
OPT_IN_HEADERS = {"asio.hpp"}
BANNED_IN_HEADERS = re.compile(
    r'#include\s*[<"](boost/|openssl/|git2|sqlite3|yaml|zstd|iostream|ostream|istream|regex|sstream|'
    r'ranges|format|fstream)')
# capability -> pattern; allowed only in the base and simulation rooms
WORLD = {
    "clock": re.compile(r"std::chrono::(system_clock|steady_clock|high_resolution_clock)::now|"
                        r"\bclock_gettime\(|\bgettimeofday\(|(?<![\w:.>])time\(nullptr\)"),
    "sleep": re.compile(r"std::this_thread::sleep|\busleep\(|(?<![\w.>])nanosleep\("),
    "random": re.compile(r"std::random_device|std::mt19937|\bgetrandom\(|(?<![\w.>:])s?rand\("),
    "thread": re.compile(r"std::(thread|jthread|async|mutex|condition_variable)\b"),
    "socket": re.compile(r"(?<!\w)::(socket|bind|listen|accept4?|connect|getaddrinfo)\("),
    "file": re.compile(r"std::(i|o)?fstream\b|std::filesystem::|\bfopen\(|::(open|openat)\("),
    "process": re.compile(r"\b(fork|vfork|posix_spawnp?|execvpe?|system|popen)\("),
    "environment": re.compile(r"\b(secure_)?getenv\("),
}
FOREIGN = {
    "git2": {"src/engines/builder/fetch_git.cpp"},
    "openssl/": {"src/base/tls_openssl.cpp", "src/base/tls_certificates.cpp",
                 "src/wire/oci_digest.cpp", "src/engines/builder/git_files.cpp"},
    "sqlite3": {"src/state/store_sqlite.cpp"},
    "yaml.h": {"src/model/manifest_yaml.cpp"},
    "zstd": {"src/wire/oci_zstd.cpp"},
    "boost/json": {"src/base/value_json.cpp"},
    "boost/asio": {"include/knative/asio.hpp"},
}
# (rule, file) -> reason
EXCEPTIONS = {
    ("world", "src/platform/platform_thread.cpp"): "owns the one thread of PlatformThread",
    ("world", "src/engines/registry/registry_server_state.hpp"):
        "an upload's file is shared with Offload",
    ("world", "src/wire/oci_store.hpp"): "image stores are thread-safe: Offload uses them",
    ("world", "src/wire/oci_store_memory.cpp"): "image stores are thread-safe: Offload uses them",
    ("mutable-static", "benchmarks/builder_bench.cpp"): "one prepared tree for all runs",
    ("mutable-static", "tests/platform/build_container_documents_test.cpp"):
        "one registry with its images for all documents",
    ("world", "src/wire/oci_store_layout.cpp"): "image stores are thread-safe: Offload uses them",
}


class Report:
    def __init__(self):
        self.problems = []
        self.used = set()

    def add(self, rule, path, line, text):
        name = path if isinstance(path, str) else str(path.relative_to(ROOT))
        if (rule, name) in EXCEPTIONS:
            self.used.add((rule, name))
            return
        self.problems.append(f"{name}:{line}: [{rule}] {text}")


def strip(text):
    """Blank out comments and literals, keeping line numbers."""
    pattern = re.compile(r'R"([^()\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|'
                         r"//[^\n]*|/\*.*?\*/", re.S)

    def blank(match):
        word = match.group(0)
        if word.startswith(("//", "/*")):
            return re.sub(r"[^\n]", " ", word)
        return '"' + re.sub(r"[^\n]", "_", word[1:-1]) + '"'
    # digit separators (1'000) are not character literals
    return pattern.sub(blank, re.sub(r"(?<=\d)'(?=\d)", "_", text))


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#include\s*[<"]([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def room_of(path):
    """(floor, engine, extension or None) of a file under src/ or include/."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "include":
        name = path.stem
        return HEADERS.get(name), name if name in ENGINES else None
    floor = FLOORS.get(parts[1])
    return floor, parts[2] if parts[1] in ("engines", "extensions") and len(parts) > 3 else None


def target_of(path, included):
    if included.startswith("knative/"):
        name = Path(included).stem
        return HEADERS.get(name), name if name in ENGINES else None
    for base in (path.parent, ROOT / "src"):
        file = (base / included).resolve()
        if file.exists() and ROOT / "src" in file.parents:
            return room_of(file)
    return None, None


def check_layers(path, text, report):
    floor, engine = room_of(path)
    if floor is None:
        report.add("layers", path, 1, "belongs to no known room: add it to scripts/tidy.py")
        return
    for number, included in includes(text):
        if "/" not in included and included.endswith(".hpp"):
            report.add("include-path", path, number, f"begin with the folder in src/: {included}")
        other_floor, other_engine = target_of(path, included)
        if other_floor is None:
            if included.startswith("knative/"):
                report.add("layers", path, number, f"unknown header {included}")
            continue
        if other_floor > floor:
            report.add("layers", path, number, f"includes upward: {included}")
        if floor == other_floor and None not in (engine, other_engine) and engine != other_engine:
            report.add("engines", path, number, f"includes a stranger to it: {included}")


def check_foreign(path, text, report):
    name = str(path.relative_to(ROOT))
    for number, included in includes(text):
        for foreign, allowed in FOREIGN.items():
            if included.startswith(foreign) and not any(
                    name == place or (place.endswith("/") and name.startswith(place))
                    for place in allowed):
                report.add("foreign", path, number, f"{included} belongs in {sorted(allowed)}")


def check_world(path, code, report):
    name = str(path.relative_to(ROOT))
    if name.startswith(("src/base/", "src/simulation/")):
        return
    for number, line in enumerate(code.splitlines(), 1):
        for what, pattern in WORLD.items():
            if pattern.search(line):
                report.add("world", path, number, f"{what} outside the base: {line.strip()}")


def functions(code):
    """(first line, last line) of blocks that look like function bodies at any level."""
    depth_stack = []
    line = 1
    statement_start, statement = 1, ""
    for index, char in enumerate(code):
        if char == "\n":
            line += 1
        if char == "{":
            head = statement.strip()
            is_function = bool(re.search(r"\)\s*(const|noexcept|override|final|&|->.*|\s)*$", head)
                               ) and not re.match(
                r"^(if|for|while|switch|else|do|catch|try|return)\b", head)
            is_scope = bool(re.match(r"^(inline\s+)?(namespace|class|struct|enum|union|extern)\b",
                                     re.sub(r"^template\s*<.*?>\s*", "", head)))
            depth_stack.append((is_function and not is_scope, statement_start))
            statement, statement_start = "", line
        elif char == "}":
            if depth_stack:
                is_function, start = depth_stack.pop()
                if is_function and not any(outer for outer, _ in depth_stack):
                    yield start, line
            statement, statement_start = "", line
        elif char == ";":
            statement, statement_start = "", line
        else:
            if not statement.strip():
                statement_start = line
            statement += char


def check_sizes(path, text, code, report):
    lines = text.splitlines()
    limit = HEADER_LINES_MAX if path.suffix == ".hpp" and "include" in path.parts \
        else SOURCE_LINES_MAX
    if len(lines) > limit:
        report.add("file-length", path, len(lines), f"{len(lines)} lines, at most {limit}")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX and "http" not in line:
            report.add("columns", path, number, f"{len(line)} columns")
    if path.suffix == ".cpp":
        for first, last in functions(code):
            if last - first + 1 > FUNCTION_LINES_MAX:
                report.add("function-length", path, first, f"{last - first + 1} lines")


def awaiting_statements(code):
    """(first line, text) of the statements with co_await, over several lines too. Braces after a
    name, a bracket, a comma or an equals sign belong to the statement; others are blocks."""
    line, start, text, braces = 1, 1, "", []
    for char in code:
        if char == "\n":
            line += 1
        if not text.strip():
            start = line
        if char == "{":
            head = text.rstrip()
            braces.append(bool(re.search(r"([(,=]|[\w>]\s*)$", head)) and not re.search(
                r"(\belse|\bdo|\btry|\bconst|\bnoexcept|\boverride|\bfinal|\)[^()]*->[^()]*)$", head)
                and not re.search(r"\b(struct|class|enum|namespace|union)\b[^(=]*$", head))
        opened = braces[-1] if braces and char in "{}" else True
        if char == "}" and braces:
            braces.pop()
        if char == ";" or (char in "{}" and not opened):
            if "co_await" in text:
                yield start, text
            text = ""
        else:
            text += char


def check_awaits(path, code, report):
    """g++ 12 destroys temporaries of some expressions beside co_await twice."""
    for line, text in awaiting_statements(code):
        rest = text[text.index("co_await"):]
        if re.search(r"[(,]\s*\{", rest) or re.search(r"\w\{[^}]*\.\w+\s*=", rest):
            report.add("await-by-name", path, line, "brace list inside co_await")
        if re.search(r"\[[^\]]*\w[^\]]*\]\s*[({]", rest) and re.search(
                r"[(,]\s*\[[^\]]*\w", rest):
            report.add("await-by-name", path, line, "capturing lambda inside co_await")
        # plain names and numbers make no temporary that anybody destroys
        choice = re.search(r"\?(.*)", text, re.S)
        if choice and re.search(r"[({\"]|\bco_await\b", choice.group(1)):
            report.add("await-by-name", path, line,
                       "conditional expression beside co_await: choose before")


def check_code(path, code, report):
    in_tests = "tests" in path.relative_to(ROOT).parts
    check_awaits(path, code, report)
    for number, line in enumerate(code.splitlines(), 1):
        if "[=]" in line or re.search(r"\[=,", line):
            report.add("capture", path, number, "[=] is never used: name the captures")
        if re.search(r"^\s*static\s+(?!constexpr|const\b|inline|cast|_)[\w:<>,\s*&]+\s\w+\s*(=|;|\{)",
                     line) and "(" not in line.split("=")[0]:
            report.add("mutable-static", path, number, line.strip())
        if re.search(r"\b(thread_local)\b", line):
            report.add("mutable-static", path, number, line.strip())
        if in_tests and (WORLD["sleep"].search(line)):
            report.add("test-sleep", path, number, "poll a condition instead of sleeping")


# What marks unfinished work; put together here, so that this file has none of it.
LATER = "TO" + "DO"
UNFINISHED = re.compile(rf"\b({'FIX' + 'ME'}|{'X' * 3}|{LATER}(?!\())\b")


def check_text(path, text, report):
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            report.add("unfinished", path, number, f"write {LATER}(kind): " + line.strip())
        if line.rstrip() != line and path.suffix != ".md":
            report.add("whitespace", path, number, "space at the end of the line")


def check_header(path, text, report):
    if not re.search(r"#pragma once", text):
        report.add("header", path, 1, "no #pragma once")
    if "/// \\file" not in text:
        report.add("header", path, 1, "no file comment (/// \\file)")
    for number, line in enumerate(text.splitlines(), 1):
        if BANNED_IN_HEADERS.search(line) and path.name not in OPT_IN_HEADERS:
            report.add("banned-include", path, number, line.strip())
    # an awaited function on a model value has a deleted rvalue twin
    for match in re.finditer(r"Task<[^;]*?>\s+(\w+)\(const (?:[\w:]+::)?"
                             r"(Build|Service|Route|Configuration|Revision|Broker|Trigger|Channel|"
                             r"Subscription|CloudEvent|AnyObject)&[^)]*\)", text):
        name, kind = match.group(1), match.group(2)
        if not re.search(name + r"\((?:[\w:]+::)?" + kind + r"&&[^)]*\)\s*(const\s*)?= delete", text):
            line = text.count("\n", 0, match.start()) + 1
            before = text[max(0, match.start() - 80):match.start()]
            if "virtual" not in before and "override" not in match.group(0) + text[
                    match.end():match.end() + 20] and "\n private:" not in text[
                        text.rfind("\nclass", 0, match.start()):match.start()]:
                report.add("await-by-name", path, line,
                           f"{name}(const {kind}&) has no {name}({kind}&&) = delete")


def documented_share(report):
    """Public types without a doc comment are counted; the house wants 90 %. The structs of the
    model mirror Knative's and Kubernetes' own types: their names say what they are."""
    documented = total = 0
    missing = defaultdict(list)
    for path in sorted((ROOT / "include/knative").glob("*.hpp")):
        if path.stem in MIRRORS:
            continue
        lines = path.read_text().splitlines()
        previous = ""
        for number, line in enumerate(lines, 1):
            stripped = line.strip()
            if line[:1] != " " and re.match(r"^(class|struct|enum class|concept)\s+\w+", stripped
                        ) and not stripped.endswith(";"):
                total += 1
                if previous.startswith("///") or previous.startswith(("template", "requires")):
                    documented += 1
                else:
                    missing[path.name].append(number)
            if stripped:
                previous = stripped
    if total and documented / total < 0.9:
        report.add("documented", "include/knative", 0,
                   f"{documented} of {total} public types have a doc comment: {dict(missing)}")


def graph():
    arrows = defaultdict(set)
    for folder in ("include", "src"):
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            parts = path.relative_to(ROOT).parts
            room = path.stem if folder == "include" else "/".join(parts[1:-1])
            for _, included in includes(path.read_text()):
                if included.startswith("knative/"):
                    other = Path(included).stem
                    if other != room:
                        arrows[room].add(other)
    for room in sorted(arrows, key=lambda name: (HEADERS.get(name, 9), name)):
        print(f"{room}: {' '.join(sorted(arrows[room], key=lambda n: (HEADERS.get(n, 9), n)))}")


def selftest():
    assert "secret" not in strip('int a; // secret\nauto b = "secret";')
    assert strip("a\n/* x\ny */b").count("\n") == 2
    body = "int f() {\n" + "  g();\n" * 80 + "}\n"
    assert [last - first for first, last in functions(body)] == [81]
    report = Report()
    path = ROOT / "src/wire/x.cpp"
    check_code(path, "  co_await f({1, 2});\n  auto g = [=] { };\n  static int counter = 0;\n",
               report)
    assert sorted(re.findall(r"\[([\w-]+)\] ", " ".join(report.problems))) == [
        "await-by-name", "capture", "mutable-static"], report.problems
    for trap in ("co_await f(a ? T{} : b);", "x = co_await f(\n    a ? text() : name);",
                 "r = ready ? co_await f() : g();", "co_await f(a,\n {.b = 1});",
                 'co_await f(a ? "one" : name);', "co_await p->f(a ? T{0} : b);", "co_await f(\n    T{.a = b},\n    c);"):
        report = Report()
        check_awaits(path, "void g() {\n  if (a) {\n    " + strip(trap) + "\n  }\n}\n", report)
        assert len(report.problems) == 1, (trap, report.problems)
        assert ":3:" in report.problems[0], report.problems
    for right in ("co_await f(a ? b : c);", "x = a ? T{} : b;\n  co_await f(x);",
                  "while (co_await next()) {\n  x = a ? t() : b;\n}",
                  "auto w = [a](X& x) -> Task<void> { co_await f(x); };"):
        report = Report()
        check_awaits(path, "void g() {\n  " + right + "\n}\n", report)
        assert not report.problems, (right, report.problems)
    report = Report()
    check_world(path, "auto t = std::chrono::steady_clock::now();\n", report)
    assert len(report.problems) == 1
    report = Report()
    check_layers(ROOT / "src/base/x.cpp", '#include "knative/http.hpp"\n', report)
    assert len(report.problems) == 1
    report = Report()
    check_layers(ROOT / "src/engines/router/x.cpp", '#include "knative/workload.hpp"\n', report)
    assert len(report.problems) == 1
    report = Report()
    check_header(ROOT / "include/knative/x.hpp", "#pragma once\n/// \\file\n"
                 "Task<Result<void>> run(const build::Build& build);\n#include <regex>\n", report)
    assert len(report.problems) == 2, report.problems
    print("tidy: selftest passed")


def main():
    if "--selftest" in sys.argv:
        selftest()
        return 0
    if "--graph" in sys.argv:
        graph()
        return 0
    report = Report()
    for folder in ("include", "src", "tests", "examples", "benchmarks", "tools", "bindings"):
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            text = path.read_text()
            code = strip(text)
            check_text(path, text, report)
            if "await_trap" not in path.parts:  # there the traps are the subject
                check_code(path, code, report)
            if folder in ("include", "src"):
                check_layers(path, text, report)
                check_foreign(path, text, report)
                check_world(path, code, report)
                check_sizes(path, text, code, report)
            if folder == "include":
                check_header(path, text, report)
    for folder in ("scripts", "bindings", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name != "tidy.py":
                check_text(path, path.read_text(), report)
    documented_share(report)
    for key in sorted(set(EXCEPTIONS) - report.used):
        report.problems.append(f"scripts/tidy.py: the exception {key} is not needed any more")
    for problem in report.problems:
        print(problem)
    print(f"tidy: {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
