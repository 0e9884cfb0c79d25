"""The YAML files that come with the project: stages, presets, recipes, tables; each kind in a folder, by its name."""

from pathlib import Path

from bl30k_gen.errors import UserError, nearest

ROOT = Path(__file__).parents[1] / "configs"

FEW = 12
"""Names that an error message lists."""


class ConfigFolder:
    """``<folder>/<name>.yaml``, for every file in a folder that fits a pattern.

    Args:
        what: the word for one of them.
    """

    def __init__(self, what: str, folder: str, pattern: str = "*.yaml"):
        self.what, self.folder, self.pattern = what, ROOT / folder, pattern

    def names(self) -> list[str]:
        """Sorted, without the suffix: ``stcn/static``."""
        return sorted(str(path.relative_to(self.folder).with_suffix("")) for path in self.folder.glob(self.pattern))

    def find(self, name: str) -> Path:
        """One by its name, or the user's own YAML by its path. Raises UserError with the nearest name."""
        known = self.names()
        if name in known:
            return self.folder / f"{name}.yaml"
        is_path = Path(name).suffix in (".yaml", ".yml")
        if is_path and Path(name).is_file():
            return Path(name)
        choice = f"choose one of {', '.join(known)}" if len(known) <= FEW else "see `train.py list`"
        remedy = nearest(name, known, f"{choice}, or give a YAML file")
        remedy = "check the path" if is_path else remedy
        raise UserError(f"{self.what} {name} does not exist", remedy)

    def locate(self, folder: Path, base: str) -> Path:
        """What ``extends`` means in a file of ``folder``: one by its name, or a path relative to that file."""
        return self.folder / f"{base}.yaml" if base in self.names() else folder / base


STAGES = ConfigFolder("stage", "stages", "*/*.yaml")  # the others are what these have in common
PRESETS = ConfigFolder("preset", "presets")
RECIPES = ConfigFolder("recipe", "recipes")
TABLES = ConfigFolder("table", "tables")
