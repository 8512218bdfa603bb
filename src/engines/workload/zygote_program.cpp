#include "engines/workload/zygote_program.hpp"

namespace knative {

// For every Python from 3.7 on. It has one thread, so that forks are safe, and handles one message
// after the other; nothing that it does waits for a program.
const std::string_view zygote_program = R"python(
import builtins
import ctypes
import gc
import importlib
import importlib.machinery
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import types

VARIABLE = "KNATIVE_ZYGOTE"
# By the first one the platform knows what must end with the zygote; the other one an interpreter
# gives itself where no locale is said.
KEPT_VARIABLES = (b"KNATIVE_CHILD_OF", b"LC_CTYPE")
PDEATHSIG, CHILD_SUBREAPER = 1, 36
EXECS_MAX = 3

prctl = ctypes.CDLL(None, use_errno=True).prctl


def tell(control, **message):
    text = json.dumps(message).encode("ascii")
    control.sendall(text + b"\n")


def printable(value):
    return str(value).encode("utf-8", "replace").decode()[:2000]


def connect(config, role, number):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect("\0" + config["address"])
        stream.sendall(b"%s %s %016x\n" % (config["token"].encode(), role, number))
    except OSError:
        stream.close()
        raise
    return stream


def threads():
    return len(os.listdir("/proc/self/task"))


def children():
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without these lists
        mine = []
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%d/stat" % int(name), "rb") as file:
                    if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                        mine.append(int(name))
            except (ValueError, OSError):
                pass
        return mine


# ---------------------------------------------------------------------------- imports


def read(path):
    with open(path, "rb") as file:
        return file.read()


def source_of(config):
    """The text of the program, and the folder that the program will import from first."""
    kind, name = config["kind"], config["program"]
    if kind == "code":
        return name, os.getcwd()
    if kind == "file":
        if os.path.isdir(name):
            return read(os.path.join(name, "__main__.py")), os.path.realpath(name)
        return read(name), os.path.dirname(os.path.realpath(name))
    here = os.path.join(os.getcwd(), *name.split("."))
    for path in (here + ".py", os.path.join(here, "__main__.py")):
        if os.path.exists(path):
            return read(path), os.getcwd()
    import importlib.util
    spec = importlib.util.find_spec(name)  # which imports the packages around it
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + ".__main__")
    return read(spec.origin) if spec is not None else "", os.getcwd()


def imports_of(source):
    import ast
    found = []
    body = []
    for node in ast.parse(source).body:
        body += [node] + (node.body if isinstance(node, ast.Try) else [])
    for node in body:
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.append((node.module, [alias.name for alias in node.names]))
    return found


def load(name, members):
    module = importlib.import_module(name)
    for member in members:
        if member == "*" or hasattr(module, member) or not hasattr(module, "__path__"):
            continue
        importlib.import_module(name + "." + member)


def preload(control, config):
    """Import what the program will; says which modules started threads."""
    threaded = []

    def attempt(what, action, complain):
        if what in config["skip"]:
            return
        tell(control, importing=printable(what))
        before = threads()
        try:
            action()
        except BaseException as error:  # a module may do anything
            if complain:
                text = "cannot import %s: %s: %s" % (what, type(error).__name__, error)
                tell(control, log=printable(text))
        if threads() > before:
            threaded.append(what)

    found = []

    def look():
        source, folder = source_of(config)
        found.extend([folder, []])
        # What stands next to the program is its own, and may do what only the program should.
        own = {name.partition(".")[0] for name in os.listdir(folder)}
        found[1] = [(name, members) for name, members in imports_of(source)
                    if name.partition(".")[0] not in own]

    attempt(config["program"] if config["kind"] == "module" else "the program", look, False)
    folder, wanted = found or (os.getcwd(), [])
    for name, members in wanted:
        attempt(name, lambda: load(name, members), False)
    sys.path.insert(0, folder)
    for name in config["preload"]:
        attempt(name, lambda: load(name, []), True)
    if folder in sys.path:
        sys.path.remove(folder)
    return threaded


def begin_again(control, config, environment, skip):
    """As a process without threads: they cannot be ended otherwise."""
    config = dict(config, control=control.fileno(), skip=skip, execs=config["execs"] + 1)
    control.set_inheritable(True)
    environment = dict(environment)
    environment[VARIABLE] = json.dumps(config)
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read().split(b"\0")[:-1]
    os.execve(sys.executable or "/proc/self/exe", words, environment)


def prepare():
    environment = dict(os.environ)
    config = json.loads(os.environ.pop(VARIABLE))
    config.setdefault("skip", [])
    config.setdefault("execs", 0)
    if "control" in config:
        control = socket.socket(fileno=config["control"])
        control.set_inheritable(False)
    else:
        # A pipe that only the platform reads: nobody else can know the token.
        config["token"] = os.urandom(32).hex()
        os.write(1, b"knative-zygote-token %s\n" % config["token"].encode())
        control = connect(config, b"c", 0)
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    handlers = {number: signal.getsignal(number) for number in range(1, 32)}
    threaded = preload(control, config) if config["execs"] < EXECS_MAX else []
    if threads() > 1:
        if config["execs"] >= EXECS_MAX:
            tell(control, log="the interpreter has threads before anything is imported")
            os._exit(1)
        text = "%s: starts threads, so every program imports it itself"
        tell(control, log=printable(text % (", ".join(threaded) or "a module")))
        last = config["execs"] + 1 == EXECS_MAX or not threaded
        if last:
            config["execs"] = EXECS_MAX - 1
        begin_again(control, config, environment, config["skip"] + threaded)
    return control, config, handlers


# ---------------------------------------------------------------------------- forks


class Zygote:
    def __init__(self, control, config, handlers):
        self.control, self.config, self.handlers = control, config, handlers
        self.pid = os.getpid()
        self.pids = {}  # by number
        self.numbers = {}  # by pid
        self.kept = set(children())  # who was started by an import
        self.wakeups = os.pipe()

    def serve(self):
        """Until the platform closes the connection. In a fork it returns what that runs."""
        for end in self.wakeups:
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *ignored: None)
        signal.set_wakeup_fd(self.wakeups[1])
        if prctl(CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.disable()
        gc.freeze()
        tell(self.control, ready=sys.version.split()[0])
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wakeups[0], select.POLLIN)
        received = b""
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self.wakeups[0] in ready:
                os.read(self.wakeups[0], 4096)
                self.reap()
            if self.control.fileno() not in ready:
                continue
            piece = self.control.recv(1 << 16)
            if not piece:
                self.leave()
            received += piece
            *lines, received = received.split(b"\n")
            for line in lines:
                task = self.handle(json.loads(line))
                if task is not None:
                    return task

    def handle(self, message):
        if "fork" in message:
            return self.fork(message)
        number = message["signal"]
        if number in self.pids:
            # Not reaped yet, so its number is no stranger's.
            self.kill_group(self.pids[number], message["number"])
        tell(self.control, signal=number)

    def kill_group(self, pid, number):
        try:
            os.killpg(pid, number)
        except OSError:
            pass

    def fork(self, message):
        number = message["fork"]
        streams = []
        try:
            streams.append(connect(self.config, b"o", number))
            streams.append(connect(self.config, b"e", number))
            pid = os.fork()
        except OSError as error:
            for stream in streams:
                stream.close()
            tell(self.control, fork=number, error=printable(error))
            return None
        if pid == 0:
            return self.become(message, streams)
        try:
            os.setpgid(pid, pid)  # both do: whoever comes first
        except OSError:
            pass
        self.pids[number] = pid
        self.numbers[pid] = number
        for stream in streams:
            stream.close()
        tell(self.control, fork=number, pid=pid)

    def become(self, message, streams):
        os.setpgid(0, 0)
        prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.pid:
            os._exit(127)
        # What it leaves behind is told from what other forks do.
        prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number, handler in self.handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        for descriptor, stream in zip((1, 2), streams):
            os.dup2(stream.fileno(), descriptor)
            stream.close()
        self.control.close()
        for end in self.wakeups:
            os.close(end)
        variables = {name: os.environb[name] for name in KEPT_VARIABLES if name in os.environb}
        for name, value in message["env"].items():
            variables[name.encode()] = value.encode()
        os.environb.clear()
        os.environb.update(variables)
        os.chdir(message["cwd"])
        importlib.invalidate_caches()
        # The standard library's reseeds itself.
        numpy = sys.modules.get("numpy.random")
        if numpy is not None and hasattr(numpy, "seed"):
            numpy.seed()
        gc.enable()
        return message

    def reap(self):
        ended = []
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            number = self.numbers.pop(info.si_pid, None)
            if number is not None:
                self.kill_group(info.si_pid, signal.SIGKILL)
                del self.pids[number]
                exited = info.si_code == os.CLD_EXITED
                ended.append({"end": number, "code": info.si_status if exited else 0,
                              "signal": 0 if exited else info.si_status})
            os.waitpid(info.si_pid, 0)
        # A fork is given back what it started; what comes here lost its fork.
        for pid in children():
            if pid not in self.numbers and pid not in self.kept:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        for message in ended:
            tell(self.control, **message)

    def leave(self):
        for pid in self.numbers:
            self.kill_group(pid, signal.SIGKILL)
        os._exit(0)


# ---------------------------------------------------------------------------- programs


def run_file(path, module, orig):
    if sys.version_info >= (3, 9):
        path = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(path) is not None:  # a folder or a zip file
        sys.path.insert(0, path)
        return runpy._run_module_as_main("__main__", False)
    if not SAFE_PATH:
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    try:
        with open(path, "rb") as file:
            code = pkgutil.read_code(file)
            if code is None:
                file.seek(0)
                source = file.read()
    except OSError as error:
        text = "%s: can't open file %r: [Errno %d] %s\n"
        sys.stderr.write(text % (orig[0], path, error.errno, error.strerror))
        sys.exit(2)
    module.__file__ = path
    module.__cached__ = None
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    if code is None:
        code = compile(source, path, "exec", 0, True)
    exec(code, module.__dict__)


def run(task):
    """As the interpreter would, with its words."""
    module = types.ModuleType("__main__")
    module.__builtins__ = builtins
    module.__annotations__ = {}
    module.__loader__ = importlib.machinery.BuiltinImporter
    sys.modules["__main__"] = module
    kind, program = task["kind"], task["program"]
    sys.argv = [{"file": program, "module": "-m", "code": "-c"}[kind]] + task["words"]
    sys.orig_argv = task["orig"]
    if kind == "file":
        return run_file(program, module, task["orig"])
    if not SAFE_PATH:
        sys.path.insert(0, os.getcwd() if kind == "module" else "")
    if kind == "code":
        return exec(compile(program, "<string>", "exec", 0, True), module.__dict__)
    runpy._run_module_as_main(program)


def show(error):
    """Without our own part of the traceback; the interpreter does the rest."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    sys.excepthook = lambda *ignored: None


SAFE_PATH = getattr(sys.flags, "safe_path", False) or bool(sys.flags.isolated)
task = Zygote(*prepare()).serve()
try:
    run(task)
except SystemExit:
    raise
except BaseException as error:
    show(error)
    raise
)python";

}  // namespace knative
