"""An example as a module, for tests that call its functions."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def loaded(path: Path) -> Any:
    """Run the file as a module, which is not its `__main__`."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
