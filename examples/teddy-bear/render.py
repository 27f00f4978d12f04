"""Renders the example's eight "photographs" of one teddy bear: `python examples/teddy-bear/render.py`.

The bear is the same in all of them, hair by hair; its pose, the place, the light and the camera differ. Photographs
that exist are kept. Needs `bpy` (Python 3.11), `numpy` and `Pillow`; a minute or so a photograph and core.
"""

import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "toybox"))

import blend as b  # noqa: E402
import bpy  # noqa: E402
from mathutils import Matrix, Vector  # noqa: E402
from photographs import Shot, main  # noqa: E402

Parts = list[bpy.types.Object]
Weight = Callable[[Vector], float]
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]

HONEY, CREAM, CHOCOLATE = b.linear("#f2c680"), b.linear("#fff2d8"), b.linear("#472718")
ROSE, TEAL, RED = b.linear("#d08f94"), b.linear("#16999a"), b.linear("#cc1822")
SIDES = (-1, 1)  # the bear's right, at -x, is the viewer's left

TRUNK, TRUNK_RADII = Vector((0, 0, 0.26)), Vector((0.235, 0.2, 0.27))
NECK, HEAD, HEAD_RADII = Vector((0, -0.01, 0.475)), Vector((0, -0.03, 0.205)), Vector((0.285, 0.25, 0.25))
SHOULDER, HIP = Vector((0.195, -0.02, 0.365)), Vector((0.135, -0.06, 0.1))
SOLE = 0.375  # below the hip of a straight leg


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; arms and legs (the bear's right, then left) swing forward, away from the body, and about z."""

    head: tuple[float, float, float] = (
        0,
        0,
        8,
    )  # nod down, turn to the viewer's right, tilt to the viewer's right
    arms: tuple[tuple[float, float, float], ...] = ((46, 40, 0), (40, 44, 0))
    legs: tuple[tuple[float, float, float], ...] = ((88, 0, 28), (88, 0, 33))
    lean: float = 0  # forward


@dataclass(frozen=True, kw_only=True)
class BearShot(Shot):
    """A photograph, and the bear's pose in it."""

    pose: Pose


STANDING = ((2, 5, 8), (-3, 6, 10))
FLOOR = BearShot(
    place="wooden floor",
    light="day",
    turn=0,
    azimuth=0,
    height=12,
    distance=3.1,
    lens=72,
    exposure=0.65,
    seed=1,
    pose=Pose(head=(2, -4, -9)),
)
SHOTS = (
    FLOOR,
    replace(
        FLOOR, place="grass", turn=-8, azimuth=-10, height=14, distance=3.0, lens=66, exposure=0.4, seed=2,
        pose=Pose(head=(-4, 6, 9), arms=((24, 122, 0), (42, 42, 0))),
    ),
    replace(
        FLOOR, place="beach", light="sunset", turn=-34, azimuth=6, height=11, lens=68, exposure=0.75, seed=3,
        pose=Pose(head=(0, 8, 7), legs=((88, 0, 22), (88, 0, 38))),
    ),
    replace(
        FLOOR, place="kitchen table", turn=24, azimuth=-4, height=18, distance=3.2, lens=70, exposure=0.5, seed=4,
        pose=Pose(head=(6, 0, 12), arms=((62, 30, 0), (54, 34, 0)), lean=4),
    ),
    replace(
        FLOOR, place="bookshelf", light="lamp", turn=10, azimuth=4, height=10, distance=2.75, lens=82, aim=0.56,
        exposure=0.75, seed=5, pose=Pose(head=(3, -6, -12)),
    ),
    replace(
        FLOOR, place="white rug", light="overcast", turn=-14, azimuth=-6, height=32, lens=66, aim=0.42, exposure=0.75,
        seed=6, pose=Pose(head=(-14, 0, 10), legs=((86, 0, 36), (88, 0, 26))),
    ),
    replace(
        FLOOR, place="autumn leaves", light="sunset", turn=18, azimuth=-8, height=9, distance=3.3, lens=60, aim=0.6,
        exposure=0.75, seed=7, pose=Pose(head=(2, 0, -8), arms=((14, 34, 0), (10, 30, 0)), legs=STANDING),
    ),
    replace(
        FLOOR, place="sidewalk", light="overcast", turn=-22, azimuth=8, height=13, distance=3.5, lens=64, aim=0.6,
        exposure=0.55, seed=8, pose=Pose(head=(-2, 10, 8), arms=((20, 42, 0), (34, 22, 0)), legs=STANDING),
    ),
)  # fmt: skip


# Shapes --------------------------------------------------------------------------------------------------------------


def on(centre: Vector, radii: Vector, azimuth: float, height: float, out: float = 1.0) -> Vector:
    """The point of an ellipsoid seen from its centre at azimuth (0 is -y, 90 is +x) and height in degrees."""
    a, h = math.radians(azimuth), math.radians(height)
    way = Vector((math.sin(a) * math.cos(h), -math.cos(a) * math.cos(h), math.sin(h)))
    return centre + way * out * sum((d / r) ** 2 for d, r in zip(way, radii, strict=True)) ** -0.5


def pear(z: float) -> float:
    """How wide the trunk is at height z above its middle, against an ellipsoid."""
    return 1 - 0.16 * z / TRUNK_RADII.z


def chest(x: float, z: float, out: float = 0.0) -> Vector:
    """The point `out` before the trunk's front at x and z from its middle."""
    rx, ry, rz = TRUNK_RADII.x * pear(z), TRUNK_RADII.y * pear(z), TRUNK_RADII.z
    y = -ry * math.sqrt(max(0.02, 1 - (x / rx) ** 2 - (z / rz) ** 2))
    normal = Vector((x / rx**2, y / ry**2, z / rz**2)).normalized()
    return TRUNK + Vector((x, y, z)) + out * normal


def lump(
    look: bpy.types.Material,
    at: Vector,
    radii: Sequence[float],
    turn: b.Vec = (0, 0, 0),
    width: Callable[[float], float] = lambda z: 1.0,
) -> bpy.types.Object:
    """An ellipsoid with its size in its vertices, as fur wants it; `width` shapes it along its z."""
    made = b.ball(look, at, 1.0, turn, segments=40)
    for vertex in made.data.vertices:
        x, y, z = (v * r for v, r in zip(vertex.co, radii, strict=True))
        vertex.co = (x * width(z), y * width(z), z)
    return made


def grid(look: bpy.types.Material, points: np.ndarray, closed: tuple[bool, bool]) -> bpy.types.Object:
    """A smooth mesh through an array of points (rows, columns, 3); `closed` joins the last to the first."""
    rows, columns = points.shape[:2]
    faces = [
        (
            i * columns + j,
            i * columns + (j + 1) % columns,
            (i + 1) % rows * columns + (j + 1) % columns,
            (i + 1) % rows * columns + j,
        )
        for i in range(rows - (not closed[0]))
        for j in range(columns - (not closed[1]))
    ]
    return b.mesh(look, points.reshape(-1, 3), faces, smooth=True)


# Materials -----------------------------------------------------------------------------------------------------------


def hair_look(rgb: b.Vec, spot: tuple[Vector, b.Vec] | None = None) -> bpy.types.Material:
    """Fur darker at its roots, each hair a little different; `spot` is another colour about a point of the object."""
    made = b.material(rgb, roughness=0.75)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    hair, sum_ = nodes.new("ShaderNodeHairInfo"), nodes.new("ShaderNodeMath")
    along, tone = nodes.new("ShaderNodeMapRange"), nodes.new("ShaderNodeMixRGB")
    links.new(hair.outputs["Intercept"], along.inputs["Value"])
    along.inputs["To Min"].default_value, along.inputs["To Max"].default_value = 0.7, 1.0
    sum_.operation, sum_.inputs[1].default_value = "MULTIPLY_ADD", 0.25
    links.new(hair.outputs["Random"], sum_.inputs[0])
    links.new(along.outputs["Result"], sum_.inputs[2])
    tone.blend_type, tone.inputs["Fac"].default_value = "MULTIPLY", 1.0
    tone.inputs["Color1"].default_value = (*rgb, 1)
    links.new(sum_.outputs[0], tone.inputs["Color2"])
    if spot:
        links.new(spotted(made, rgb, *spot), tone.inputs["Color1"])
    shader = nodes["Principled BSDF"]
    links.new(tone.outputs["Color"], shader.inputs["Base Color"])
    shader.inputs["Specular IOR Level"].default_value = 0.25
    return made


def spotted(made: bpy.types.Material, rgb: b.Vec, middle: Vector, other: b.Vec) -> bpy.types.NodeSocket:
    """The colour `other` about the middle, in the object's own space, and `rgb` elsewhere."""
    nodes, links = made.node_tree.nodes, made.node_tree.links
    place, away = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeVectorMath")
    edge, mix = nodes.new("ShaderNodeMapRange"), nodes.new("ShaderNodeMixRGB")
    away.operation, away.inputs[1].default_value = "DISTANCE", middle
    edge.inputs["From Min"].default_value, edge.inputs["From Max"].default_value = 0.088, 0.102
    mix.inputs["Color1"].default_value, mix.inputs["Color2"].default_value = (*other, 1), (*rgb, 1)
    links.new(place.outputs["Object"], away.inputs[0])
    links.new(away.outputs["Value"], edge.inputs["Value"])
    links.new(edge.outputs["Result"], mix.inputs["Fac"])
    return mix.outputs["Color"]


def cloth(rgb: b.Vec, sheen: float = 0.3) -> bpy.types.Material:
    """Wool and felt."""
    made = b.textured("NOISE", [0.85 * c for c in rgb], rgb, scale=60, contrast=2, bump=0.002, roughness=0.95)
    made.node_tree.nodes["Principled BSDF"].inputs["Sheen Weight"].default_value = sheen
    return made


# Fur -----------------------------------------------------------------------------------------------------------------


@dataclass
class Coat:
    """Where fur grows: on `made`, of this length, scaled by `weight` of the place on the object."""

    made: bpy.types.Object
    length: float
    weight: Weight | None = None

    def grow(self, seed: int, density: float) -> None:
        area = sum(face.area for face in self.made.data.polygons)
        b.fur(
            self.made,
            length=self.length,
            count=round(density * area),
            children=14,
            thickness=0.0026,
            seed=seed,
            curl=0.006,
        )
        system = self.made.particle_systems[-1]
        hair = system.settings
        hair.distribution, hair.clump_factor, hair.roughness_endpoint = "RAND", 0.25, 0.012
        if self.weight:
            group = self.made.vertex_groups.new(name="length")
            for vertex in self.made.data.vertices:
                group.add([vertex.index], self.weight(vertex.co), "REPLACE")
            system.vertex_group_length = group.name


def near(points: Sequence[Vector], inner: float, outer: float, least: float) -> Weight:
    """`least` within `inner` of one of the points, 1 beyond `outer`."""

    def weight(at: Vector) -> float:
        share = (min((at - p).length for p in points) - inner) / (outer - inner)
        return least + (1 - least) * min(1.0, max(0.0, share))

    return weight


# The bear ------------------------------------------------------------------------------------------------------------


@dataclass
class Bear:
    """Its parts by the joint that moves them, and their fur."""

    parts: dict[str, Parts]
    coats: list[Coat]

    def soft(self, joint: str, made: bpy.types.Object, length: float, weight: Weight | None = None) -> None:
        self.parts[joint].append(made)
        self.coats.append(Coat(made, length, weight))

    def hard(self, joint: str, *made: bpy.types.Object) -> None:
        self.parts[joint] += made


def add_trunk(bear: Bear, fur: bpy.types.Material) -> None:
    flat_under = near([chest(HEART.x, HEART.z) - TRUNK], 0.06, 0.11, 0.12)

    def weight(at: Vector) -> float:
        under_scarf = 1 - 0.75 * min(1.0, max(0.0, (at.z - 0.12) / 0.05))
        return min(flat_under(at), under_scarf)

    bear.soft("trunk", lump(fur, TRUNK, TRUNK_RADII, width=pear), 0.045, weight)


HEART, HEART_SIZE = Vector((-0.05, 0, -0.005)), 0.094


def heart_outline(t: float) -> tuple[float, float]:
    return (
        16 * math.sin(t) ** 3 / 17,
        (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17,
    )


def add_heart(bear: Bear) -> None:
    """A padded felt heart on the chest, sewn on with cream thread."""

    def point(share: float, t: float, out: float) -> Vector:
        x, z = (HEART_SIZE * share * v for v in heart_outline(t))
        return chest(HEART.x + x, HEART.z + z, out)

    turns = [2 * math.pi * i / 72 for i in range(72)]
    rings = [
        (0.001, 0.05),
        (0.3, 0.049),
        (0.55, 0.046),
        (0.75, 0.041),
        (0.9, 0.034),
        (0.98, 0.026),
        (1.0, 0.015),
        (1.0, -0.01),
    ]
    felt, thread = cloth(RED), b.material(CREAM, roughness=0.9)
    bear.hard(
        "trunk", grid(felt, np.array([[point(s, t, out) for t in turns] for s, out in rings]), (False, True))
    )
    for i in range(20):
        t = 2 * math.pi * (i + 0.5) / 20
        stitch = [point(0.8, t, 0.041), point(0.92, t, 0.037), point(1.03, t, 0.02)]
        bear.hard("trunk", b.tube(thread, stitch, 0.0045))


def add_head(
    bear: Bear, fur: bpy.types.Material, cream: bpy.types.Material, dark: bpy.types.Material
) -> None:
    eyes = [on(Vector(), HEAD_RADII, side * 27, 9) for side in SIDES]
    patched = hair_look(HONEY, (eyes[0] * 1.05 + Vector((-0.012, 0, 0.012)), CHOCOLATE))
    face = near([*eyes, Vector((0, -0.24, -0.08))], 0.03, 0.16, 0.34)

    def weight(at: Vector) -> float:
        return min(face(at), 1 - 0.7 * min(1.0, max(0.0, (-0.1 - at.z) / 0.06)))

    bear.soft("head", lump(patched, HEAD, HEAD_RADII, width=lambda z: 1 - 0.16 * z), 0.042, weight)
    for side, look, inner in zip(SIDES, (fur, dark), (CREAM, b.linear("#5d3826")), strict=True):
        at = HEAD + on(Vector(), HEAD_RADII, side * 90, 49, 1.07)
        bear.soft(
            "head",
            lump(look, at, (0.108, 0.055, 0.108), (0, side * 32, 0)),
            0.03,
            near([Vector((0, -0.06, 0))], 0.03, 0.1, 0.35),
        )
        bear.soft(
            "head",
            lump(hair_look(inner), at + Vector((0, -0.034, -0.004)), (0.066, 0.03, 0.066), (0, side * 32, 0)),
            0.012,
        )
    add_face(bear, cream, [HEAD + eye for eye in eyes])


def add_face(bear: Bear, cream: bpy.types.Material, eyes: Sequence[Vector]) -> None:
    """Muzzle, nose, stitched mouth and button eyes."""
    muzzle, radii = HEAD + Vector((0, -0.215, -0.078)), Vector((0.132, 0.105, 0.1))
    bear.soft("head", lump(cream, muzzle, radii), 0.017, near([Vector((0, -0.1, 0.03))], 0.02, 0.07, 0.4))
    nose = b.material(b.linear("#1d100c"), roughness=0.25)
    bear.hard(
        "head",
        lump(nose, on(muzzle, radii, 0, 30, 1.05), (0.058, 0.036, 0.04), (24, 0, 0), lambda z: 1 + 7 * z),
    )
    thread = b.material(b.linear("#2a1610"), roughness=0.8)
    low = on(muzzle, radii, 0, -20, 1.11)
    bear.hard("head", b.tube(thread, [on(muzzle, radii, 0, 12, 1.1), low], 0.0075))
    for side in SIDES:
        smile = [low, on(muzzle, radii, side * 20, -33, 1.1), on(muzzle, radii, side * 40, -28, 1.1)]
        bear.hard("head", b.tube(thread, smile, 0.0075))
    amber, black = (
        b.material(b.linear("#b5651d"), roughness=0.15, coat=1.0),
        b.material((0.003, 0.003, 0.003), roughness=0.06),
    )
    glint = b.material((1, 1, 1), emission=1.0)
    for eye in eyes:
        out = (eye - HEAD).normalized()
        at, facing = eye + out * 0.014, (out + Vector((0, -1, 0))).normalized()
        bear.hard(
            "head",
            b.ball(amber, at, 0.042),
            b.ball(black, at + facing * 0.01, 0.037),
            b.ball(glint, at + facing * 0.041 + Vector((-0.013, 0, 0.014)), 0.0075, segments=10),
        )


def add_arms(bear: Bear, fur: bpy.types.Material, pad: bpy.types.Material) -> None:
    """Each hangs from the origin of its joint; the palm faces forward."""
    for joint in ("right arm", "left arm"):
        palm = Vector((0, -0.09, -0.095))

        def weight(at: Vector, palm: Vector = palm) -> float:
            return min(near([palm], 0.04, 0.075, 0.15)(at), 1 - 0.6 * min(1.0, max(0.0, (at.z - 0.1) / 0.05)))

        bear.soft(
            joint,
            lump(fur, Vector((0, 0, -0.15)), (0.082, 0.082, 0.195), width=lambda z: 1 - 0.6 * z),
            0.04,
            weight,
        )
        bear.hard(joint, lump(pad, Vector((0, -0.078, -0.248)), (0.05, 0.022, 0.062), (-16, 0, 0)))


def add_legs(bear: Bear, fur: bpy.types.Material, pad: bpy.types.Material) -> None:
    """Each hangs from the origin of its joint; the sole faces down."""
    for joint in ("right leg", "left leg"):
        bear.soft(joint, lump(fur, Vector((0, 0, -0.13)), (0.108, 0.108, 0.2)), 0.042)
        foot = Vector((0, -0.045, -0.3))
        bear.soft(
            joint,
            lump(fur, foot, (0.102, 0.138, 0.075)),
            0.038,
            lambda at: 0.15 + 0.85 * min(1.0, max(0.0, (at.z + 0.062) / 0.03)),
        )
        bear.hard(joint, lump(pad, foot + Vector((0, -0.004, -0.066)), (0.076, 0.108, 0.02)))


# The scarf -----------------------------------------------------------------------------------------------------------


def stitches(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The relief, 0 to 1, of stockinette stitch: rows of V, counted along the two coordinates."""
    across = columns % 1.0 - 0.5
    slant = np.cos(2 * math.pi * (rows + 1.1 * np.abs(across)))
    return np.abs(np.sin(2 * math.pi * across)) ** 0.6 * (0.55 + 0.45 * slant)


def knitted(
    look: bpy.types.Material, surface: Surface, rows: int, columns: int, closed: bool, relief: float = 0.011
) -> bpy.types.Object:
    """Knitting of so many rows and columns along the surface's two coordinates, each 0 to 1, the second closed."""
    u = np.linspace(0, 1, rows * 9, endpoint=not closed)
    v = np.linspace(0, 1, columns * 9, endpoint=False)
    u, v = np.meshgrid(u, v, indexing="ij")
    step = 1e-3
    points = surface(u, v)
    normal = np.cross(surface(u, v + step) - points, surface(u + step, v) - points)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-12
    outward = np.sign(np.sum(normal * (points - points.mean(axis=1, keepdims=True)), axis=-1).mean())
    return grid(
        look, points + outward * relief * stitches(u * rows, v * columns)[..., None] * normal, (closed, True)
    )


def band(path: Sequence[Vector], width: float, thickness: float) -> Surface:
    """A flat strip along the path, lying across x."""
    along = np.linspace(0, 1, len(path))
    points = np.array(path)

    def surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        middle = np.stack([np.interp(u, along, points[:, i]) for i in range(3)], axis=-1)
        c, s = np.cos(2 * math.pi * v), np.sin(2 * math.pi * v)
        thin = thickness * np.minimum(1, 8 * (1.02 - u))
        side, front = np.sign(c) * np.abs(c) ** 0.6 * width, np.sign(s) * np.abs(s) ** 0.6 * thin
        return middle + np.stack([side, -front, 0 * u], axis=-1)

    return surface


def wrap(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The scarf about the neck, in the trunk's space."""
    a, w = 2 * math.pi * u, 2 * math.pi * v
    plump = 1 + 0.06 * np.sin(3 * a + 1)
    out = 0.052 * plump * np.cos(w)
    x, y = (0.18 + out) * np.sin(a), -(0.17 + out) * np.cos(a)
    return np.stack([x, y - 0.012, 0.472 + 0.05 * plump * np.sin(w) + 0.008 * np.sin(2 * a + 0.6)], axis=-1)


def knot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where the scarf is tied, before the bear's left collarbone."""
    a, h = 2 * math.pi * v, math.pi * (0.04 + 0.92 * u)
    x, y, z = 0.056 * np.cos(h), 0.045 * np.sin(h) * np.cos(a), 0.062 * np.sin(h) * np.sin(a)
    return np.stack([0.08 + x, -0.228 + y, 0.455 + z + 0.3 * x], axis=-1)


def add_scarf(bear: Bear) -> None:
    """Wrapped once, tied, with two fringed ends on the chest."""
    wool, rng = cloth(TEAL, 0.5), random.Random("fringe")
    bear.hard("trunk", knitted(wool, wrap, 52, 14, True), knitted(wool, knot, 8, 14, False))
    for x, spread, end, out in ((0.082, 0.005, -0.07, 0.075), (0.125, 0.035, 0.0, 0.062)):
        steps = [i / 12 for i in range(13)]
        path = [chest(x + spread * s, 0.185 + (end - 0.185) * s, out - 0.012 * s) for s in steps]
        bear.hard(
            "trunk", knitted(wool, band(path, 0.044, 0.013), round((0.2 - end) / 0.02), 10, False, 0.009)
        )
        last = path[-1]
        for i in range(9):
            root = last + Vector((0.0095 * (i - 4), 0, 0.008))
            sway = Vector(
                (rng.gauss(0.0012 * (i - 4), 0.004), rng.gauss(-0.004, 0.004), -0.052 - rng.random() * 0.008)
            )
            bear.hard(
                "trunk", b.tube(wool, [root, root + sway * 0.5 + Vector((0, -0.004, 0)), root + sway], 0.0052)
            )


# Posing --------------------------------------------------------------------------------------------------------------


def build() -> Bear:
    """The bear, its joints at rest."""
    joints = ("trunk", "head", "right arm", "left arm", "right leg", "left leg")
    bear = Bear({joint: [] for joint in joints}, [])
    fur, cream, dark, pad = hair_look(HONEY), hair_look(CREAM), hair_look(CHOCOLATE), cloth(ROSE)
    add_trunk(bear, fur)
    add_head(bear, fur, cream, dark)
    add_arms(bear, fur, pad)
    add_legs(bear, fur, pad)
    add_heart(bear)
    add_scarf(bear)
    return bear


def rotation(degrees: float, axis: str) -> Matrix:
    return Matrix.Rotation(math.radians(degrees), 4, axis)


def limb(angles: tuple[float, float, float], side: int) -> Matrix:
    forward, away, about = angles
    return rotation(side * about, "Z") @ rotation(-side * away, "Y") @ rotation(-forward, "X")


def frames(pose: Pose) -> dict[str, Matrix]:
    """Where each joint's parts go."""
    nod, turn, tilt = pose.head
    trunk = rotation(pose.lean, "X")
    found = {
        "trunk": trunk,
        "head": trunk
        @ Matrix.Translation(NECK)
        @ rotation(turn, "Z")
        @ rotation(tilt, "Y")
        @ rotation(nod, "X"),
    }
    for side, name, arm, leg in zip(SIDES, ("right", "left"), pose.arms, pose.legs, strict=True):
        mirror = Vector((side, 1, 1))
        found[f"{name} arm"] = trunk @ Matrix.Translation(SHOULDER * mirror) @ limb(arm, side)
        found[f"{name} leg"] = Matrix.Translation(HIP * mirror) @ limb(leg, side)
    return found


def stand(bear: Bear, pose: Pose, turn: float, sink: float) -> None:
    """Poses the bear, turns it about z, sets it on the ground and lets its fur grow."""
    for joint, frame in frames(pose).items():
        for part in bear.parts[joint]:
            part.matrix_world = rotation(turn, "Z") @ frame @ part.matrix_basis
    low, _ = b.bounds([coat.made for coat in bear.coats])
    for part in (part for parts in bear.parts.values() for part in parts):
        part.location.z += 0.012 - sink - low.z
    for seed, coat in enumerate(bear.coats):
        coat.grow(seed, density=2600)


if __name__ == "__main__":
    main(
        __doc__.splitlines()[0],
        SHOTS,
        lambda shot, sink: stand(build(), shot.pose, shot.turn, sink),
        HERE / "instance_images",
    )
