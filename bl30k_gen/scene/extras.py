"""Sample what the published configuration lacks: deforming objects and camera shake."""

from typing import Any

import numpy as np

from bl30k_gen.config import Deformation, Range, Shake
from bl30k_gen.scene.spec import DIGITS

AXES = ("x", "y", "z")


def sample_deformation(generator: np.random.Generator, recipe: Deformation) -> dict[str, Any] | None:
    """The fields of a ``spec.Deformation``, or None: not every object has one."""
    if generator.random() >= recipe.chance:
        return None
    kind = recipe.kinds[generator.integers(len(recipe.kinds))]
    common = {"kind": kind, "cycles": uniform(generator, recipe.cycles)}
    if kind == "lattice":
        directions = generator.normal(size=(27, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        displacements = rounded(uniform(generator, recipe.displacement) * directions).tolist()
        return common | {"phases": rounded(generator.random(27)).tolist(), "displacements": displacements}
    common["phase"] = round(float(generator.random()), DIGITS)
    along, other = (AXES[i] for i in generator.permutation(3)[:2])
    if kind == "bend":
        return common | {"along": along, "toward": other, "angle": uniform(generator, recipe.angle)}
    lengths = {"amplitude": uniform(generator, recipe.amplitude), "wavelength": uniform(generator, recipe.wavelength)}
    return common | {"along": along, "across": other, **lengths}


def sample_shake(generator: np.random.Generator, recipe: Shake) -> list[dict[str, Any]]:
    """The fields of every ``spec.ShakeWave``: frequencies spread evenly in octaves, all of the same speed."""
    angle = uniform(generator, recipe.angle)
    low, high = recipe.cycles.low, recipe.cycles.high
    cycles = rounded(low * (high / low) ** generator.random(recipe.waves))
    amplitudes = 1 / cycles
    amplitudes *= np.sqrt(2) / np.linalg.norm(amplitudes)  # the sum of these sines has a root mean square of 1
    axis_weights = np.array([1.0, 1.0, recipe.roll])
    return [
        {
            "cycles": float(cycles[i]),
            "angles": rounded(angle * amplitudes[i] * axis_weights).tolist(),
            "phases": rounded(generator.random(3)).tolist(),
        }
        for i in range(recipe.waves)
    ]


def uniform(generator: np.random.Generator, interval: Range) -> float:
    """Draw one number, rounded like every number of a SceneSpec."""
    return round(float(generator.uniform(interval.low, interval.high)), DIGITS)


def rounded(values: Any) -> np.ndarray:
    """Values as float64, rounded like every number of a SceneSpec."""
    return np.round(np.asarray(values, dtype=np.float64), DIGITS)
