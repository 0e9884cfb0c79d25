"""The robot of the DAVIS interactive benchmark: it scribbles on the errors of a prediction.

Source: S. Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", section 3. An error region is
smoothed by an opening, thinned to its medial axis, and the longest path of each piece becomes a Bezier curve.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from skimage.morphology import medial_axis

from bl30k_gen.seeding import rng
from training.evaluation.scribbles import Scribbles, Stroke, bezier

BACKGROUND = 0


@dataclass(frozen=True)
class Robot:
    """Draws strokes, which depend only on the seed and the masks.

    radius_share, max_radius: the radius of the opening's disk is min(radius_share * sqrt(area) / 2, max_radius).
    min_nodes: skeleton components with fewer pixels are ignored.
    samples: points of a stroke.
    """

    seed: int = 0
    radius_share: float = 0.15
    max_radius: float = 16.0
    min_nodes: int = 4
    samples: int = 1000

    def correct(
        self, sequence: str, truth: np.ndarray, prediction: np.ndarray, objects: Iterable[int], frame: int
    ) -> Scribbles:
        """Strokes on one frame, for the background and each object, where the truth has it and the prediction not.

        ``truth`` and ``prediction`` are (T, H, W) label maps; -1 in ``truth`` is void, which is never drawn on.
        """
        strokes = []
        for label in [BACKGROUND, *objects]:
            error = (truth[frame] == label) & (prediction[frame] != label)
            limits = np.maximum((error.shape[1] - 1, error.shape[0] - 1), 1)
            curves = self.curves(error, rng(self.seed, "robot", sequence, frame, label))
            strokes += [Stroke(curve / limits, label) for curve in curves]
        return Scribbles.on_frame(sequence, len(truth), frame, strokes)

    def begin(self, sequence: str, truth: np.ndarray, objects: Sequence[int]) -> Scribbles:
        """First scribbles for a video without any: on all objects of one frame.

        It is the frame with the most objects, and among these the one whose smallest object is largest.
        """
        areas = np.array([[np.count_nonzero(ids == label) for label in objects] for ids in truth])
        visible = areas > 0
        smallest = np.where(visible, areas, areas.max() + 1).min(axis=1)
        frame = int(np.lexsort((-smallest, -visible.sum(axis=1)))[0])
        nothing = np.full_like(truth, BACKGROUND)
        return self.correct(sequence, truth, nothing, objects, frame)

    def curves(self, error: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        """Curves over an error region (H, W) bool: (N, 2) float each, (x, y) in pixels."""
        rows, columns = np.flatnonzero(error.any(axis=1)), np.flatnonzero(error.any(axis=0))
        if not len(rows):
            return []
        # Work in the box of the region, with a margin of one pixel.
        top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
        region = error[top : rows[-1] + 2, left : columns[-1] + 2]
        smooth = np.pad(self._open(region), 1)
        skeleton = medial_axis(smooth, rng=generator)[1:-1, 1:-1]
        return [bezier(path + (left, top), self.samples) for path in longest_paths(skeleton, self.min_nodes)]

    def _open(self, region: np.ndarray) -> np.ndarray:
        """Opening by a disk, which is reduced by a tenth until something remains; empty if no radius above 1 fits.

        It uses distances and no kernel, so the disk is centred for any radius and the result lies inside the region.
        The image border does not erode.
        """
        radius = min(self.radius_share * sqrt(np.count_nonzero(region)) / 2, self.max_radius)
        if radius <= 1 or region.all():
            return region
        depth = distance_transform_edt(region)
        while radius > 1:
            core = depth > radius
            if core.any():
                return distance_transform_edt(~core) <= radius
            radius *= 0.9
        return np.zeros_like(region)


BENCHMARK_ROBOT = Robot(radius_share=0.2)
"""As the DAVIS interactive benchmark's session runs it; 0.15 is the default of the robot's class alone."""


def longest_paths(skeleton: np.ndarray, min_nodes: int) -> list[np.ndarray]:
    """The longest path, (N, 2) int (x, y), of each 8-connected component of a skeleton (H, W) with enough pixels.

    Cycles are cut by a minimum spanning tree, in which a diagonal step weighs sqrt(2). The longest path in the tree
    is the one with the most pixels.
    """
    graph, points = _graph(skeleton)
    components, component_of = connected_components(graph, directed=False)
    tree = minimum_spanning_tree(graph)
    paths = []
    for component in range(components):
        nodes = np.flatnonzero(component_of == component)
        if len(nodes) < min_nodes:
            continue
        # A breadth-first search ends at one end of the longest path, and a search from there at the other end.
        one_end = breadth_first_order(tree, nodes[0], directed=False, return_predecessors=False)[-1]
        order, previous = breadth_first_order(tree, one_end, directed=False)
        path = [order[-1]]
        while path[-1] != one_end:
            path.append(previous[path[-1]])
        paths.append(points[path])
    return paths


def _graph(skeleton: np.ndarray) -> tuple[csr_array, np.ndarray]:
    """The pixels of a skeleton as a weighted graph (each edge once), and their (x, y) coordinates."""
    rows, columns = np.nonzero(skeleton)
    index = np.full(np.add(skeleton.shape, 2), -1)
    index[rows + 1, columns + 1] = np.arange(len(rows))
    starts, ends, weights = [], [], []
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        neighbour = index[rows + 1 + dy, columns + 1 + dx]
        linked = np.flatnonzero(neighbour >= 0)
        starts.append(linked)
        ends.append(neighbour[linked])
        weights.append(np.full(len(linked), sqrt(dy * dy + dx * dx)))
    edges = np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends))
    return coo_array(edges, shape=(len(rows), len(rows))).tocsr(), np.stack([columns, rows], axis=1)
