"""Files that come with the project: render configurations, keyword lists, Slurm scripts.

They lie beside ``bl30k_gen/`` in a checkout, and inside of it in an installed package.
"""

from collections.abc import Iterator
from pathlib import Path

from bl30k_gen.errors import UserError, nearest

PACKAGE = Path(__file__).resolve().parent
CONFIGS = "render_configs"


def folder(name: str) -> Path:
    """The folder called ``render_configs``, ``assets`` or ``slurm``."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def config_names() -> list[str]:
    """Short names of the render configurations, as ``--config`` takes them: the recipes, then the variants."""
    return [Path(name).name for name, _ in sorted(_configs(), key=lambda config: ("/" in config[0], config[0]))]


def find_config(name: str | Path) -> Path:
    """A render configuration by path, name (``demo``, ``variants/crowd``) or short name of a variant (``crowd``).

    Raises:
        UserError: there is none; the remedy is the most similar name.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path  # its reader says so if it is missing
    known = dict(_configs())
    by_stem = {found.stem: found for found in known.values()}
    if str(name) in known or str(name) in by_stem:
        return known.get(str(name)) or by_stem[str(name)]
    remedy = nearest(str(name), by_stem, f"give a YAML, or one of {', '.join(sorted(by_stem))}")
    raise UserError(f"--config {name} does not exist", remedy)


def _configs() -> Iterator[tuple[str, Path]]:
    root = folder(CONFIGS)
    for path in root.rglob("*.yaml"):
        yield path.relative_to(root).with_suffix("").as_posix(), path
