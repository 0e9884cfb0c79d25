"""A small ray caster for backgrounds: simple solids in front of a pinhole camera, lit, and defocused.

Boxes, cylinders and ellipsoids are intersected with rays, and lit by a sun with shadows, lamps and the sky with
ambient occlusion. Defocus is computed in linear light, so that lamps become discs. Metres, z up, the camera looks
along y. Everything is computed at half the size of the image, which the blur hides.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from bl30k_gen.builtin.backgrounds.canvas import HEIGHT, WIDTH, finish
from bl30k_gen.builtin.backgrounds.lens import disc_blur, film
from bl30k_gen.builtin.patterns import Colour, Random, fractal
from bl30k_gen.library.formats.mesh import linear

ROWS, COLUMNS = HEIGHT // 2, WIDTH // 2
NEAR = 0.05  # metres from the camera; a solid that comes nearer is tested at every pixel
FAR = 1e9
MIN_BLUR = 1.3  # pixels; hides aliasing


@dataclass(frozen=True)
class Paint:
    """Appearance of a surface. ``colour`` is sRGB; it multiplies ``texture``, if there is one."""

    colour: Colour
    texture: np.ndarray | None = None  # (S, S, 3) uint8 sRGB, tileable
    scale: float = 1.0  # metres per repeat
    shift: float = 0.0  # of the texture, in repeats
    glow: float = 0.0  # emission, in multiples of the colour


@dataclass(frozen=True)
class Solid:
    """A box, cylinder or ellipsoid, given by its centre and half its extent, rotated about z by ``yaw``."""

    kind: str
    centre: np.ndarray
    half: np.ndarray
    paint: Paint
    yaw: float = 0.0
    along: int = 2  # axis of a cylinder before the rotation
    ragged: float = 0.0  # ratio of an ellipsoid's outline that is cut out, for foliage

    def local(self, vectors: np.ndarray) -> np.ndarray:
        """(3, ...) directions in the solid's own axes."""
        x, y, z = vectors
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([c * x + s * y, c * y - s * x, np.broadcast_to(z, np.shape(x))])

    def world(self, vectors: np.ndarray) -> np.ndarray:
        """(3, ...) directions in the world, of ones in the solid's axes."""
        x, y, z = vectors
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([c * x - s * y, s * x + c * y, z])

    def corners(self) -> np.ndarray:
        """(3, 8) corners of its bounding box."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)
        return self.world(signs * self.half[:, None]) + self.centre[:, None]


@dataclass
class GBuffer:
    """A camera and the surface at each of its pixels: distance along the axis, normal, colour, emission."""

    origin: np.ndarray  # (3, 1, 1), or (3, H, W) where rays are parallel
    rays: np.ndarray  # (3, H, W)
    axes: np.ndarray  # (3, 3): rows right, up, forward
    focal: float  # pixels; 0: parallel rays, a metre in ``pixels_a_metre``
    pixels_a_metre: float = 0.0
    depth: np.ndarray = field(init=False)
    normal: np.ndarray = field(init=False)
    albedo: np.ndarray = field(init=False)
    light: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = self.rays.shape[1:]
        self.depth = np.full(shape, FAR, np.float32)
        self.normal, self.albedo, self.light = (np.zeros((3, *shape), np.float32) for _ in range(3))

    @classmethod
    def pinhole(cls, eye: tuple[float, float, float], yaw: float, pitch: float, focal: float, rows: int) -> "GBuffer":
        """A perspective camera. ``focal`` is in image heights; positive ``pitch`` is up, positive ``yaw`` right."""
        columns = rows * COLUMNS // ROWS
        y, x = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
        right, up = (x - columns / 2) / (focal * rows), (rows / 2 - y) / (focal * rows)
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        axes = np.array([[cy, -sy, 0], [-sy * sp, -cy * sp, cp], [sy * cp, cy * cp, sp]], np.float32)
        rays = np.einsum("khw,kc->chw", np.stack([right, up, np.ones_like(up)]), axes)
        return cls(np.array(eye, np.float32).reshape(3, 1, 1), rays.astype(np.float32), axes, focal * rows)

    @classmethod
    def parallel(cls, direction: np.ndarray, centre: np.ndarray, reach: float, size: int) -> "GBuffer":
        """An orthographic camera that covers ``reach`` metres to each side of a point, for shadow maps."""
        forward = direction / np.linalg.norm(direction)
        right = np.cross(forward, (0.0, 0.1, 1.0))
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(right, forward), forward]).astype(np.float32)
        y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size * 2 - 1
        start = np.asarray(centre) - 3 * reach * forward
        origin = start.reshape(3, 1, 1) + reach * (x * axes[0].reshape(3, 1, 1) - y * axes[1].reshape(3, 1, 1))
        rays = np.broadcast_to(forward.astype(np.float32).reshape(3, 1, 1), (3, size, size))
        return cls(origin.astype(np.float32), rays, axes, 0.0, size / 2 / reach)

    def place(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Project (3, ...) points: row, column and distance."""
        rows, columns = self.depth.shape
        start = self.origin if self.focal else self.origin.mean(axis=(1, 2), keepdims=True)
        seen = np.tensordot(self.axes, points - start.reshape(3, *[1] * (points.ndim - 1)), axes=1)
        scale = self.focal / np.maximum(seen[2], NEAR) if self.focal else self.pixels_a_metre
        return rows / 2 - scale * seen[1] - 0.5, columns / 2 + scale * seen[0] - 0.5, seen[2]

    def part(self, solid: Solid) -> tuple[slice, slice] | None:
        """The rectangle of pixels in which a solid may be visible, or None."""
        rows, columns = self.depth.shape
        row, column, away = self.place(solid.corners())
        if self.focal and away.max() < NEAR:
            return None
        if self.focal and away.min() < NEAR:
            return np.s_[:, :]
        top, bottom = max(int(row.min()), 0), min(int(row.max()) + 2, rows)
        left, right = max(int(column.min()), 0), min(int(column.max()) + 2, columns)
        return np.s_[top:bottom, left:right] if top < bottom and left < right else None

    def points(self) -> np.ndarray:
        """(3, H, W) surface points; undefined where there is no surface."""
        return self.origin + self.rays * self.depth


def intersect(solid: Solid, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect rays (3, H, W) with a solid: (distance, hit, normal in the solid's axes)."""
    start = solid.local(origin - solid.centre.reshape(3, 1, 1).astype(np.float32)).astype(np.float32)
    ray = solid.local(rays).astype(np.float32)
    half = solid.half.reshape(3, 1, 1).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if solid.kind == "ellipsoid":
            enter, leave, normal = _ball(start / half, ray / half)
            normal = normal / half
        else:
            inverse = 1 / ray
            one, other = (-half - start) * inverse, (half - start) * inverse
            first, last = np.fmin(one, other), np.fmax(one, other)
            if solid.kind == "cylinder":
                k = solid.along
                round_axes = [i for i in range(3) if i != k]
                into, out, around = _ball(start[round_axes] / half[round_axes], ray[round_axes] / half[round_axes])
                enter, leave = np.fmax(into, first[k]), np.fmin(out, last[k])
                normal = np.zeros_like(ray)
                capped = first[k] > into
                for i, axis in enumerate(round_axes):
                    normal[axis] = np.where(capped, 0, around[i])
                normal[k] = np.where(capped, -np.sign(ray[k]), 0)
            else:
                enter, leave = first.max(axis=0), last.min(axis=0)
                axis = np.arange(3).reshape(3, 1, 1) == first.argmax(axis=0)
                normal = np.where(axis, -np.sign(ray), 0)
        hit = (enter < leave) & (enter > NEAR)
    return enter, hit, normal


def _ball(start: np.ndarray, ray: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances at which rays enter and leave the unit ball (or disc), and the normal at the entry."""
    a, b = (ray * ray).sum(axis=0), (start * ray).sum(axis=0)
    inside = b * b - a * ((start * start).sum(axis=0) - 1)
    root = np.sqrt(np.maximum(inside, 0))
    enter = np.where(inside > 0, (-b - root) / a, np.inf)
    return enter, np.where(inside > 0, (-b + root) / a, -np.inf), start + ray * np.where(inside > 0, enter, 0)


class Scenery:
    """Collects solids and lights; ``photograph`` makes the image."""

    def __init__(
        self,
        random: Random,
        eye: tuple[float, float, float],
        yaw: float = 0.0,
        pitch: float = 0.0,
        focal: float = 0.9,
    ):
        self.random, self.eye, self.yaw, self.pitch, self.focal = random, eye, yaw, pitch, focal
        self.solids: list[Solid] = []
        self.lamps: list[tuple[np.ndarray, np.ndarray, float]] = []  # position, linear colour x power, reach
        self.sun: tuple[np.ndarray, np.ndarray] | None = None  # direction of its light, linear colour
        self.above, self.below = np.ones(3), np.ones(3) * 0.5  # light from the sky, from the ground
        self.sky: np.ndarray | Colour = (0.0, 0.0, 0.0)  # sRGB, a colour or (768, 1024, 3)
        self.sky_power = 1.0
        self.haze: tuple[Colour, float] | None = None  # sRGB colour, metres after which 63 % is haze
        self.noise = fractal(random, (512, 512), 0.8)

    def box(self, x: float, y: float, z: float, size: ArrayLike, paint: Paint, yaw: float = 0) -> None:
        """Add a box that stands at x, y on height ``z``."""
        half = np.array(size) / 2
        self.solids.append(Solid("box", np.array([x, y, z + half[2]]), half, paint, yaw))

    def cylinder(
        self, x: float, y: float, z: float, radius: float, length: float, paint: Paint, along: int = 2, yaw: float = 0
    ) -> None:
        """Add a cylinder: upright on height ``z``, or along x (0) or y (1) with its axis at height ``z``."""
        half = np.full(3, radius)
        half[along] = length / 2
        centre = np.array([x, y, z + length / 2 if along == 2 else z])
        self.solids.append(Solid("cylinder", centre, half, paint, yaw, along))

    def ball(
        self, x: float, y: float, z: float, radii: tuple[float, float, float], paint: Paint, ragged: float = 0.0
    ) -> None:
        """Add an ellipsoid, given by its centre."""
        self.solids.append(Solid("ellipsoid", np.array([x, y, z]), np.array(radii), paint, 0.0, 2, ragged))

    def lamp(self, x: float, y: float, z: float, colour: Colour, power: float, reach: float = 3.0) -> None:
        """Add a point light. Its light has halved at ``reach`` metres."""
        self.lamps.append((np.array([x, y, z]), linear(np.asarray(colour)) * power, reach))

    # --- Making the image -------------------------------------------------------------------------------------

    def photograph(self, aperture: float = 6.0, gloss: float = 0.0, exposure: float = 1.0) -> np.ndarray:
        """Render the image, (768, 1024, 3) uint8.

        Args:
            aperture: blur at infinity in pixels, with the lens focused at one metre.
            gloss: reflectance of the ground at height 0.
            exposure: factor of the automatic exposure.
        """
        buffer = GBuffer.pinhole(self.eye, self.yaw, self.pitch, self.focal, ROWS)
        self._draw(buffer, self.solids)
        image = self._shade(buffer)
        if gloss:
            image = self._mirror(buffer, image, gloss)
        image = self._defocus(image, buffer.depth, aperture)
        grey = np.exp(np.log(image.mean(axis=0) + 1e-3).mean())
        small = film(image * (exposure * 0.22 / grey) ** 0.75)
        whole = np.stack([ndimage.zoom(channel, 2, order=1, grid_mode=True, mode="nearest") for channel in small], -1)
        return finish(self.random, whole)

    def _draw(self, buffer: GBuffer, solids: list[Solid], colours: bool = True) -> None:
        for solid in solids:
            part = buffer.part(solid)
            if part is None:
                continue
            origin = buffer.origin if buffer.focal else buffer.origin[:, *part]
            rays = buffer.rays[:, *part]
            depth, hit, normal = intersect(solid, origin, rays)
            hit &= depth < buffer.depth[part]
            if solid.ragged:
                noise = self._noise(depth.shape, solid)
                facing = -(normal * solid.local(rays)).sum(axis=0)
                facing /= np.linalg.norm(normal, axis=0) * np.linalg.norm(rays, axis=0) + 1e-9
                hit &= noise > 2.2 * solid.ragged - 2.6 * facing - 0.4
            if not hit.any():
                continue
            buffer.depth[part][hit] = depth[hit]
            if not colours:
                continue
            point = solid.local(
                np.broadcast_to(origin, rays.shape)[:, hit] + rays[:, hit] * depth[hit] - solid.centre.reshape(3, 1)
            )
            normal = normal[:, hit]
            normal /= np.linalg.norm(normal, axis=0) + 1e-9
            colour = _coloured(solid.paint, point, normal)
            if solid.ragged:
                colour = colour * np.clip(1 + 0.5 * noise[hit], 0.25, 2)
            buffer.normal[:, *part][:, hit] = solid.world(normal)
            buffer.albedo[:, *part][:, hit] = colour
            buffer.light[:, *part][:, hit] = colour * solid.paint.glow

    def _noise(self, shape: tuple[int, ...], solid: Solid) -> np.ndarray:
        """A crop of the noise that depends on the solid's position."""
        at = (np.abs(solid.centre) * 7919).astype(int) % 97
        y, x = (np.arange(shape[0]) + at[0]) % 512, (np.arange(shape[1]) + at[1] * 3 + at[2]) % 512
        return self.noise[np.ix_(y, x)]

    def _shade(self, buffer: GBuffer) -> np.ndarray:
        """(3, H, W) linear light that reaches the camera."""
        point, normal = buffer.points(), buffer.normal
        point[:, buffer.depth >= FAR] = 0
        up = (0.5 + 0.5 * normal[2])[None]
        light = self.above.reshape(3, 1, 1) * up + self.below.reshape(3, 1, 1) * (1 - up)
        light = light * _ambient_occlusion(buffer, point)
        if self.sun is not None:
            direction, colour = self.sun
            facing = np.clip(-np.tensordot(direction / np.linalg.norm(direction), normal, axes=1), 0, None)
            light = light + colour.reshape(3, 1, 1) * facing * self._sunlit(direction, point, normal)
        for place, colour, reach in self.lamps:
            away = place.reshape(3, 1, 1).astype(np.float32) - point
            square = (away * away).sum(axis=0)
            facing = np.clip((away * normal).sum(axis=0), 0, None) / np.sqrt(square + 1e-6)
            light = light + colour.reshape(3, 1, 1) * ((0.15 + 0.85 * facing) / (1 + square / reach**2))
        image = buffer.albedo * light + buffer.light
        if self.haze is not None:
            colour, far = self.haze
            share = 1 - np.exp(-np.minimum(buffer.depth, FAR) / far)
            image = image + (linear(np.asarray(colour)).reshape(3, 1, 1) * self.sky_power - image) * share
        nothing = buffer.depth >= FAR
        sky = np.asarray(self.sky, np.float32)
        if sky.ndim == 3:
            sky = sky.reshape(ROWS, 2, COLUMNS, 2, 3).mean(axis=(1, 3))
            step = ROWS // len(image[0])
            sky = sky[::step, ::step]
        seen = np.broadcast_to(linear(sky) * self.sky_power, (*nothing.shape, 3))
        image[:, nothing] = seen[nothing].T
        return image.astype(np.float32)

    def _sunlit(self, direction: np.ndarray, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """How much sunlight reaches a point: 1 in the sun, 0 in the shadow of a solid."""
        forward = np.array([np.sin(self.yaw), np.cos(self.yaw), 0])
        reach = 14.0
        sun = GBuffer.parallel(direction, np.array(self.eye) + forward * reach * 0.75, reach, 320)
        self._draw(sun, self.solids, colours=False)
        row, column, depth = sun.place(point + normal * 0.06)
        blocked = np.zeros(depth.shape, np.float32)
        for dy, dx in ((0, 0), (0.9, 0.4), (-0.4, 0.9), (-0.9, -0.4), (0.4, -0.9)):
            y, x = (row + dy).round().astype(int), (column + dx).round().astype(int)
            outside = (y < 0) | (x < 0) | (y > 319) | (x > 319)
            nearest = sun.depth[y.clip(0, 319), x.clip(0, 319)]
            blocked += (nearest < depth - 0.08) & ~outside
        return 1 - blocked / 5

    def _mirror(self, buffer: GBuffer, image: np.ndarray, gloss: float) -> np.ndarray:
        """Add blurred reflections of the solids to the ground."""
        upright = GBuffer.pinhole(self.eye, self.yaw, self.pitch, self.focal, ROWS // 2)
        flip = np.array([1, 1, -1], np.float32)
        rays, origin = upright.rays * flip.reshape(3, 1, 1), upright.origin * flip.reshape(3, 1, 1)
        below = GBuffer(origin, rays, upright.axes * flip, upright.focal)
        self._draw(below, [s for s in self.solids if s.centre[2] + s.half[2] > 0.02])
        seen = self._shade(below)
        seen = np.stack([ndimage.zoom(ndimage.gaussian_filter(c, (2.5, 0.8)), 2, order=1) for c in seen])
        floor = (buffer.normal[2] > 0.9) & (np.abs(buffer.points()[2]) < 0.02)
        grazing = np.abs(buffer.rays[2]) / np.linalg.norm(buffer.rays, axis=0)
        share = gloss * np.where(floor, 0.25 + 0.75 * (1 - grazing) ** 3, 0)
        return image + seen * share.astype(np.float32)

    def _defocus(self, image: np.ndarray, depth: np.ndarray, aperture: float) -> np.ndarray:
        """Blur by discs that grow with the distance, in four layers, the furthest first."""
        blur = aperture * (1 - 1 / np.maximum(depth, 1.05))
        edges = np.quantile(blur, [0.25, 0.5, 0.75])
        layer = np.searchsorted(edges, blur)
        result, covered = np.zeros_like(image), np.zeros_like(depth)
        for k in reversed(range(4)):
            here = (layer == k).astype(np.float32)
            if here.any():
                *light, share = disc_blur(
                    np.concatenate([image * here, here[None]]), max(float(blur[layer == k].mean()), MIN_BLUR)
                )
                share = np.clip(share, 0, 1)
                result = np.stack(light) + result * (1 - share)
                covered = share + covered * (1 - share)
        return np.maximum(result / np.maximum(covered, 1e-3), 0)


def _coloured(paint: Paint, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(3, N) linear colours; the texture is projected along the axis nearest to the normal."""
    colour = linear(np.asarray(paint.colour)).astype(np.float32).reshape(3, 1)
    if paint.texture is None:
        return np.broadcast_to(colour, point.shape)
    facing = np.abs(normal).argmax(axis=0)
    u = np.where(facing == 0, point[1], point[0]) + paint.shift * paint.scale
    v = np.where(facing == 2, point[1], point[2])
    size = len(paint.texture)
    y, x = ((-v / paint.scale * size).astype(int) % size, (u / paint.scale * size).astype(int) % size)
    return LINEAR[paint.texture[y, x].T] * colour


LINEAR = linear(np.arange(256) / 255).astype(np.float32)


def _ambient_occlusion(buffer: GBuffer, point: np.ndarray) -> np.ndarray:
    """Ratio of ambient light that reaches a point, computed at half the resolution; 1 far from other surfaces."""
    small, normal, depth = point[:, ::2, ::2], buffer.normal[:, ::2, ::2], buffer.depth[::2, ::2]
    shade = np.zeros(depth.shape, np.float32)
    for step in (2, 6, 16):
        for dy, dx in ((step, 0), (-step, 0), (0, step), (0, -step), (step, step), (step, -step)):
            away = _shifted(small, dy, dx) - small
            distance = np.sqrt((away * away).sum(axis=0)) + 1e-3
            above = np.clip((away * normal).sum(axis=0) / distance - 0.08, 0, None)
            shade += above / (1 + (distance / 0.7) ** 2)
    open_share = np.exp(-0.42 * shade)
    return ndimage.zoom(open_share, 2, order=1)


def _shifted(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Shift (C, H, W) down by ``dy`` and right by ``dx``, repeating the border."""
    rows, columns = (np.clip(np.arange(n) - d, 0, n - 1) for n, d in zip(image.shape[1:], (dy, dx), strict=True))
    return image[:, rows[:, None], columns]
