"""The project's YAML files by name: stages, presets, recipes and tables, each kind in its own folder."""

from pathlib import Path

from bl30k_gen.errors import UserError, nearest

ROOT = Path(__file__).parents[1] / "configs"

MAX_LISTED = 12
"""Names that an error message lists."""


class ConfigFolder:
    """The files ``<folder>/<name>.yaml`` that match a pattern.

    Args:
        what: the word for one of them in messages.
    """

    def __init__(self, what: str, folder: str, pattern: str = "*.yaml"):
        self.what, self.folder, self.pattern = what, ROOT / folder, pattern

    def names(self) -> list[str]:
        """Sorted, without the suffix: ``stcn/static``."""
        return sorted(str(path.relative_to(self.folder).with_suffix("")) for path in self.folder.glob(self.pattern))

    def find(self, name: str) -> Path:
        """A file by its name, or the user's own YAML by its path. Raises UserError with the nearest name."""
        known = self.names()
        if name in known:
            return self.folder / f"{name}.yaml"
        is_path = Path(name).suffix in (".yaml", ".yml")
        if is_path and Path(name).is_file():
            return Path(name)
        choice = f"choose one of {', '.join(known)}" if len(known) <= MAX_LISTED else "see `train.py list`"
        remedy = nearest(name, known, f"{choice}, or give a YAML file")
        remedy = "check the path" if is_path else remedy
        raise UserError(f"{self.what} {name} does not exist", remedy)

    def locate(self, folder: Path, base: str) -> Path:
        """The file that ``extends: base`` means in a file of ``folder``: a name, or a path relative to that file."""
        return self.folder / f"{base}.yaml" if base in self.names() else folder / base


STAGES = ConfigFolder("stage", "stages", "*/*.yaml")  # the others hold common settings
PRESETS = ConfigFolder("preset", "presets")
RECIPES = ConfigFolder("recipe", "recipes")
TABLES = ConfigFolder("table", "tables")
