"""A stage's configuration of its data: sources, augmentation, scribbles, and the curriculum of distances."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bl30k_gen.errors import UserError
from bl30k_gen.settings import Count, Interval, NonNegative, Section, Share, WholeInterval


class Jitter(Section):
    """Colour changes: each factor is uniform in 1 +- its value; hue in turns; grey is a probability."""

    brightness: Share  # factor 1 +- this
    contrast: Share  # factor 1 +- this
    saturation: Share  # factor 1 +- this
    hue: Annotated[float, Field(ge=0, le=0.5)]  # turns, either way
    grey: Share  # probability


class SequenceChange(Section):
    """Changes that are drawn once for all frames of a sample."""

    flip: Share  # probability of a horizontal flip
    scale: Interval | None  # of still images, before they are cropped
    crop_ratio: Interval | None  # width / height of a video's crop
    jitter: Jitter


class FrameChange(Section):
    """Changes that are drawn for each frame of a sample."""

    rotation: NonNegative  # degrees, either way
    shear: NonNegative  # degrees, either way
    scale: Interval  # factor of the size
    jitter: Jitter


class Warp(Section):
    """Thin-plate spline warp of a frame, for still images."""

    chance: Share  # that a frame is warped
    points: Annotated[int, Field(ge=4)]  # control points
    deviation: NonNegative  # standard deviation of their moves, as a share of the side


class HideAndSeek(Section):
    """Cells of a grid that are hidden in still images, so that occlusions and sharp borders are learned (KMN)."""

    cells: Count  # along each side of a frame
    chance: Interval  # that a cell is hidden, drawn from this for each frame but the first


class Augmentation(Section):
    sequence: SequenceChange
    frame: FrameChange | None
    warp: Warp | None
    hide_and_seek: HideAndSeek | None
    first_mask_iou: Interval | None  # RDE: the first mask is perturbed to an IoU drawn from this


Masks = Literal["ids", "binary", "soft"] | None
"""What masks mean; null: decided over the whole dataset, see bl30k_gen/dataset/masks.py."""


def place_of(path: str | None) -> str:
    """The path of a source. Raises UserError if it has none."""
    if path is None:
        raise UserError("a source has no path", "say with --data where it lies")
    return path


class VideoSource(Section):
    kind: Literal["videos"]
    path: str | None  # of the dataset; `--data` fills it in
    weight: NonNegative  # copies in an epoch; 0 leaves the source out
    split: str | None  # list in ImageSets/; null takes every video
    names: str | None  # file with video names, one a line, to take only these
    share: Share  # of the videos, chosen by their names
    annotated_every: Count  # distance of two annotated frames; distances of the curriculum are divided by it
    label_filter: Literal["none", "small"]  # "small" is BL30K's: objects that are hardly seen are no targets
    crop_scale: Interval  # area of the crop as a share of the image
    masks: Masks = None  # what pixel values mean: ids, binary or soft; null decides over the dataset


class ImageSource(Section):
    kind: Literal["images"]
    path: str | None  # of a folder of images with masks
    weight: NonNegative  # copies in an epoch; 0 leaves the source out
    share: Share  # of the items, chosen by their names
    masks: Masks = None  # what pixel values mean: ids, binary or soft; null decides over the dataset


class LvisSource(Section):
    """Objects of LVIS, or of any annotations in COCO's JSON; each one is an item."""

    kind: Literal["lvis"]
    path: str | None  # of the JSON, or of the folder that holds it
    images: str | None  # folder of the images, if they do not lie beside the JSON
    weight: NonNegative  # copies in an epoch; 0 leaves the source out
    share: Share  # of the images
    smallest: NonNegative  # area of an object in the annotated image, pixels
    scale: Interval | None  # of frames, instead of augmentation.frame.scale


class FusionSource(Section):
    kind: Literal["fusion"]
    path: str | None  # of a fusion set that `train.py make-fusion-data` has written
    videos: str | None  # path of the dataset that the set was made of, if it has moved
    weight: NonNegative  # copies in an epoch; 0 leaves the source out
    share: Share  # of the items, chosen by their names


AnySource = VideoSource | ImageSource | LvisSource | FusionSource
SOURCES: dict[str, type[Section]]
SOURCES = {"videos": VideoSource, "images": ImageSource, "lvis": LvisSource, "fusion": FusionSource}
Source = Annotated[AnySource, Field(discriminator="kind")]


class ScribbleKinds(Section):
    """Weights of the kinds of scribbles."""

    boundary: NonNegative  # relative frequency of strokes along the boundary
    thinned: NonNegative  # along the skeleton
    curves: NonNegative  # random curves

    @model_validator(mode="after")
    def _some(self) -> "ScribbleKinds":
        if self.boundary + self.thinned + self.curves == 0:
            raise ValueError("kinds: one of them needs a weight above 0")
        return self


class Scribbles(Section):
    """How S2M's mask so far and its scribbles are made.

    Diameters, depths and areas are in pixels of a crop of 480 x 480, and grow with the crop.
    """

    from_zero: Share  # probability of an empty mask so far
    iou: Interval  # else of the mask so far with the true one
    another: Share  # probability of another object of the image, if the mask so far is not empty
    another_smallest: NonNegative  # its area in the annotated image
    another_negative: Share  # probability of negative scribbles on it; else its mask joins the mask so far
    another_iou: Share  # of the mask that joins, with its true one
    robot: Share  # probability of the benchmark's robot, if the mask so far is not empty
    opening: WholeInterval  # diameter of the opening that smooths regions for other scribbles than the robot's
    smallest: WholeInterval  # area of regions that are scribbled on
    kinds: ScribbleKinds  # weights; each region gets one kind
    second: Share  # probability of a second kind in a region
    depth: WholeInterval  # diameter of the erosion before the boundary is drawn
    curves: WholeInterval  # in a region: the longest of ``curves_tried``
    curves_tried: Count  # of which the longest is kept
    spill: WholeInterval  # diameter of the dilation of a region, beyond which curves are cut off
    free: Share  # probability of curves on the object and beside it that ignore the mask so far
    free_curves: WholeInterval  # their number
    free_smallest: NonNegative  # smallest area that gets them


class Curriculum(Section):
    """Largest distance of two sampled frames: the next value after each share of the epochs."""

    distances: list[Count] = Field(min_length=1)  # frames
    at: list[Share]  # shares of the epochs after which the next distance begins

    @model_validator(mode="after")
    def _fits(self) -> "Curriculum":
        if len(self.at) != len(self.distances) - 1 or sorted(self.at) != self.at:
            raise ValueError("at: one growing share fewer than distances")
        return self
