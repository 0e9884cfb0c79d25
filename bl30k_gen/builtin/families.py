"""How a kind finds its families: they are the public functions of its modules."""

import inspect
from collections.abc import Callable
from types import ModuleType


def families(*modules: ModuleType) -> dict[str, Callable]:
    """{name: function} of everything public that is defined in the modules.

    Raises ValueError if two of them define the same name.
    """
    found: dict[str, Callable] = {}
    for module in modules:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                if name in found:
                    raise ValueError(f"two families are called {name}")
                found[name] = value
    return found
