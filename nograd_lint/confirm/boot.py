"""Run the user's program with probes in place: ``python boot.py PLAN`` (runs in the user's interpreter).

Everything the program can see is as it would be without: ``__main__``, ``sys.argv``, ``sys.path``, its exit code, and
the traceback of an exception that nobody catches.
"""

# ruff: noqa: PTH100, PTH109, PTH118, PTH120, PTH123
from __future__ import annotations

import sys

sys.dont_write_bytecode = True
if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]  # this file's directory; the program's own entry takes its place

import atexit  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402
from typing import Any  # noqa: E402

PACKAGE = "_nograd_confirm"


def load_siblings() -> None:
    """Make the modules beside this file importable under a name of their own, without importing ``nograd_lint``."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def start(plan: dict[str, Any]) -> Any:
    """Install the hooks; the run's state."""
    hook = importlib.import_module(PACKAGE + ".hook")
    state = importlib.import_module(PACKAGE + ".state")
    run = state.Run(plan)
    targets = hook.Targets(plan["files"])
    seeded = plan.get("seed")
    if seeded is not None:
        random.seed(seeded)

    def ready(torch: Any) -> None:
        probes = importlib.import_module(PACKAGE + ".probe").Probes(run)
        run.probes = probes
        put_in_builtins(probes)
        if seeded is not None:
            torch.manual_seed(seeded)
        if plan.get("deterministic"):
            # The public function imports all of torch.compile on its way to this one.
            switch = getattr(torch._C, "_set_deterministic_algorithms", torch.use_deterministic_algorithms)
            switch(True, warn_only=True)
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            torch.backends.cudnn.benchmark = False
        if plan.get("threads"):
            torch.set_num_threads(plan["threads"])
        run.write("torch", version=str(torch.__version__))

    put_in_builtins(None)
    seeds: dict[str, Any] = {"torch": ready}
    if seeded is not None:
        seeds["numpy.random"] = lambda numpy_random: numpy_random.seed(seeded)
    hook.install(targets, seeds)
    if "torch" in sys.modules:  # site-packages can hold code that runs before any program
        seeds.pop("torch")(sys.modules["torch"])

    def end() -> None:
        run.write_counters()
        if getattr(run, "probes", None) is not None:
            run.probes.train.write()
            run.probes.tell_device()
        run.write("end", found=sorted(targets.found))

    atexit.register(end)  # first in, last out: after the program's own exit handlers
    run.write("start", python=sys.version.split()[0])
    return run


def put_in_builtins(probes: Any) -> None:
    """The names that instrumented code uses. Before torch is there, probes have nothing to do."""
    import builtins
    import contextlib

    def without_torch(*_: Any) -> Any:
        return contextlib.nullcontext()

    builtins.__nograd_probe__ = probes.probe if probes else without_torch  # type: ignore[attr-defined]
    builtins.__nograd_return__ = probes.returned if probes else lambda _, value: value  # type: ignore[attr-defined]


def main_module(filename: str | None) -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=__builtins__, __spec__=None, __package__=None, __cached__=None)
    if filename is not None:
        module.__file__ = filename
        module.__loader__ = importlib.machinery.SourceFileLoader("__main__", filename)
    sys.modules["__main__"] = module
    return module


def run_program(command: dict[str, Any]) -> None:
    kind, value = command["kind"], command["value"]
    insert = not (sys.flags.isolated or getattr(sys.flags, "safe_path", False))
    sys.argv = [value if kind == "script" else "-c", *command["argv"]]
    if kind == "script":
        if insert:
            sys.path.insert(0, os.path.dirname(os.path.realpath(value)))
        path = os.path.abspath(value)  # as Python has it since 3.9
        with open(path, "rb") as file:
            source = file.read()
        module = main_module(path)
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    elif kind == "notebook":
        if insert:
            sys.path.insert(0, os.path.dirname(os.path.realpath(value)))
        sys.argv[0] = value
        path = os.path.abspath(value)
        module = main_module(path)
        module.__dict__.update(display=lambda *values, **_: print(*values), get_ipython=lambda: None)
        exec(compile("", path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the plan holds the text
    elif kind == "module":
        import runpy

        if insert:
            sys.path.insert(0, os.getcwd())
        main_module(None)
        sys.argv[0] = "-m"
        as_main: Any = vars(runpy)["_run_module_as_main"]  # what ``python -m`` itself calls
        as_main(value)
    elif kind == "code":
        if insert:
            sys.path.insert(0, "")
        module = main_module(None)
        exec(compile(value, "<string>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    else:  # factories from the configuration
        if insert:
            sys.path.insert(0, os.getcwd())
        main_module(None)
        for target in value:
            name, _, attribute = target.partition(":")
            factory: Any = importlib.import_module(name)
            for part in attribute.split("."):
                factory = getattr(factory, part)
            factory()()


def without_us(trace: Any) -> Any:
    """The traceback from the first frame of the program on."""
    own = os.path.dirname(os.path.abspath(__file__))
    while trace is not None and os.path.dirname(os.path.abspath(trace.tb_frame.f_code.co_filename)) == own:
        trace = trace.tb_next
    return trace


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    load_siblings()
    run = start(plan)
    try:
        run_program(plan["command"])
    except SystemExit as error:
        run.write("exit", code=error.code if isinstance(error.code, int) else None if error.code is None else 1)
        raise
    except BaseException as error:
        trace = without_us(error.__traceback__)
        last = traceback.extract_tb(trace)[-1:] if trace else []
        run.write(
            "exception",
            error=f"{type(error).__name__}: {error}"[:1000],
            where=[[entry.filename, entry.lineno] for entry in last],
        )
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


if __name__ == "__main__":
    main()
