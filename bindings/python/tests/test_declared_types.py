"""_native.pyi says what the compiled module has, name by name."""

import ast
import inspect
from pathlib import Path

import knative
from knative import _native

# What pybind11 adds to every class, and Python's own protocol methods.
AUTOMATIC = {"__init__", "__repr__", "__getstate__", "__setstate__", "__hash__",
             "__doc__", "__module__", "_pybind11_conduit_v1_"}
PACKAGE = Path(knative.__file__).parent


def public(names):
    return {name for name in names if not name.startswith("__") or name == "__eq__"} - AUTOMATIC


def declared():
    """Classes with their members, functions and variables; type variables and aliases are
    the file's own."""
    classes, functions, variables = {}, {}, set()
    for node in ast.parse((PACKAGE / "_native.pyi").read_text()).body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = {member.name: member for member in node.body
                                  if isinstance(member, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            variables.add(node.target.id)
    return classes, functions, variables


def parameters(node):
    return [argument.arg for argument in node.args.args]


def native_parameters(function):
    """From the signature that pybind11 writes into the first line of the documentation."""
    line = (function.__doc__ or "").splitlines()[0]
    call = ast.parse("def " + line[:line.rindex(" -> ")].replace("<", "'").replace(">", "'")
                     + ": ...").body[0] if " -> " in line else None
    assert call is not None, line
    return parameters(call)


def test_the_module_has_the_names_that_are_declared():
    classes, functions, variables = declared()
    members = {name: value for name, value in vars(_native).items()
               if not name.startswith("__")}
    assert {name for name, value in members.items() if inspect.isclass(value)} == set(classes)
    assert {name for name, value in members.items() if inspect.isroutine(value)} == set(functions)
    assert {name for name, value in members.items()
            if not inspect.isclass(value) and not inspect.isroutine(value)} == variables


def test_every_class_has_the_members_that_are_declared():
    classes, _, _ = declared()
    for name, members in classes.items():
        native = vars(getattr(_native, name))
        assert public(native) == public(members), name
        for member, node in members.items():
            is_property = any(isinstance(mark, ast.Name) and mark.id == "property"
                              for mark in node.decorator_list)
            is_static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod"
                            for mark in node.decorator_list)
            assert isinstance(native[member], property) == is_property, f"{name}.{member}"
            assert isinstance(native[member], staticmethod) == is_static, f"{name}.{member}"


def test_functions_and_methods_take_the_parameters_that_are_declared():
    classes, functions, _ = declared()
    for name, node in functions.items():
        assert native_parameters(getattr(_native, name)) == parameters(node), name
    for class_name, members in classes.items():
        for name, node in members.items():
            native = getattr(getattr(_native, class_name), name)
            if not isinstance(native, property):
                assert native_parameters(native) == parameters(node), f"{class_name}.{name}"


def test_two_places_touch_the_interpreter_lock():
    sources = list((Path(__file__).parent.parent / "src").glob("*.[ch]pp"))
    text = "".join(source.read_text() for source in sources)
    for lock in ("PyEval_SaveThread", "PyEval_RestoreThread", "PyGILState_Ensure",
                 "PyGILState_Release", "PyObject_CallObject"):
        assert text.count(lock + "(") == 1, lock
    assert "gil_scoped" not in text
