"""Check whether an asset can be used, and what is unusual about it. Run as a module, it is the child that does so:

    python -m bl30k_gen.library.checking.health --memory-gb 6

It reads lines of JSON, {"path", "kind", "limits"}, and answers each with a line {"refused", "remarks"}. An asset that
makes the loader crash, hang or run out of memory affects only this process; see ``inspector``.
"""

import argparse
import json
import os
import resource
import sys

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.asset import AssetKind, AssetRefused, Model
from bl30k_gen.library.load import load_image, load_model

MAX_OPEN_EDGES = 0.05  # ratio of edges without exactly two faces; with more, a mesh has no inside
MAX_FLIPPED = 0.1  # ratio of neighbouring faces whose normals point to opposite sides


def examine(path: str, kind: AssetKind, limits: Limits) -> tuple[str, list[str]]:
    """Load an asset completely. Returns the reason why it is refused, or ``""``, and remarks on a usable asset."""
    try:
        if kind == "model":
            model = load_model(path, limits)
            return "", [*model.remarks, *remarks(model)]
        return "", [*load_image(path, kind, limits).remarks]
    except AssetRefused as refused:
        return refused.reason, []


def remarks(model: Model) -> list[str]:
    """Remarks on inconsistent normals. Only edges of exactly two faces are compared."""
    faces = np.concatenate([part.faces for part in model.parts])
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, kind, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    forward = np.bincount(kind.ravel(), edges[:, 0] < edges[:, 1], minlength=len(count))
    shared = count == 2
    if not shared.any():
        return []
    flipped = float((forward[shared] != 1).mean())
    if flipped > MAX_FLIPPED:
        return [f"flipped normals: {100 * flipped:.0f} % of neighbouring faces disagree about which side is out"]
    if 1 - shared.mean() <= MAX_OPEN_EDGES and volume(model.vertices, faces) < 0:
        return ["flipped normals: the faces look inwards"]
    return []


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh; positive if its faces look outwards."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-gb", type=float, required=True)
    limit = int(parser.parse_args().memory_gb * 2**30)
    if sys.platform == "linux":  # macOS has the number and refuses every value
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # separate from what libraries print
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        refused, noted = examine(request["path"], request["kind"], Limits.model_validate(request["limits"]))
        print(json.dumps({"refused": refused, "remarks": noted}), file=answers, flush=True)


if __name__ == "__main__":
    main()
