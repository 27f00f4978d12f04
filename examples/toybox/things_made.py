"""Made things of the toybox: vehicles, clothes, crockery, furniture, instruments, about one unit in size.

A builder stands its thing on z = 0, its telling side towards -y: what has a profile (car, train, boat, shoes,
teapot, cup) shows it, its front towards -x. Proportions and details come from `rng`.
"""

import math
import random
from collections.abc import Callable, Sequence

import blend as b
import bmesh
import bpy

Objects = list[bpy.types.Object]
Builder = Callable[[random.Random, b.Look], Objects]


def _black() -> bpy.types.Material:
    return b.material((0.015, 0.015, 0.017), roughness=0.6)


def _white() -> bpy.types.Material:
    return b.material((0.85, 0.84, 0.8), roughness=0.5)


def _steel() -> bpy.types.Material:
    return b.material((0.6, 0.6, 0.62), roughness=0.25, metallic=0.9)


def _brass() -> bpy.types.Material:
    return b.material((0.75, 0.5, 0.15), roughness=0.3, metallic=0.8)


def _wood(rng: random.Random) -> bpy.types.Material:
    return b.material(rng.choice([(0.33, 0.17, 0.07), (0.2, 0.09, 0.035), (0.5, 0.3, 0.14)]), roughness=0.6)


def _pane() -> bpy.types.Material:
    return b.material((0.03, 0.05, 0.08), roughness=0.08, coat=1.0)


def _loft(look: bpy.types.Material, sections: Sequence[Sequence[b.Vec]]) -> bpy.types.Object:
    """A smooth skin over closed cross sections of equally many points, its ends capped."""
    n = len(sections[0])
    faces = [
        (row * n + i, row * n + (i + 1) % n, (row + 1) * n + (i + 1) % n, (row + 1) * n + i)
        for row in range(len(sections) - 1)
        for i in range(n)
    ]
    last = (len(sections) - 1) * n
    ends = [tuple(range(n))[::-1], tuple(range(last, last + n))]
    made = b.mesh(look, [p for section in sections for p in section], [*faces, *ends], smooth=True)
    skin = bmesh.new()
    skin.from_mesh(made.data)
    bmesh.ops.recalc_face_normals(skin, faces=skin.faces)  # outward, or hair would grow into the skin
    skin.to_mesh(made.data)
    skin.free()
    return made


def _fleece(look: b.Look, made: bpy.types.Object, length: float, count: int) -> bpy.types.Object:
    """`Look.cover` for prisms and bevelled boxes, triangulated since hair misses their faces otherwise."""
    if look.finish == "furry":
        evaluated = made.evaluated_get(bpy.context.evaluated_depsgraph_get())
        skin = bmesh.new()
        skin.from_mesh(evaluated.to_mesh())
        bmesh.ops.triangulate(skin, faces=skin.faces)
        made.modifiers.clear()
        skin.to_mesh(made.data)
        skin.free()
    return look.cover(made, length=length, count=count)


def _arch(x: float, width: float, low: float, high: float, *, taper: float = 0.0) -> list[b.Vec]:
    """A cross section at `x`: flat below, round above; `taper` narrows its top."""
    points: list[b.Vec] = [(x, width * s, low) for s in (-0.5, 0.0, 0.5)]
    for i in range(13):
        c, s = math.cos(math.pi * i / 12), math.sin(math.pi * i / 12)
        rise = abs(s) ** 0.7
        points.append(
            (x, width * math.copysign(abs(c) ** 0.6, c) * (1 - taper * rise), low + (high - low) * rise)
        )
    return points


def _rounded(width: float, height: float, power: float = 4.0, count: int = 32) -> list[tuple[float, float]]:
    """A superellipse in x and z about the origin: power 2 an ellipse, 4 a rounded rectangle."""

    def bend(v: float) -> float:
        return math.copysign(abs(v) ** (2 / power), v) / 2

    angles = [2 * math.pi * i / count for i in range(count)]
    return [(width * bend(math.cos(a)), height * bend(math.sin(a))) for a in angles]


def _tapered(
    look: bpy.types.Material, points: Sequence[b.Vec], thickness: float, ratios: Sequence[float]
) -> bpy.types.Object:
    """A tube whose thickness is multiplied by one ratio per point: spouts, horns."""
    made = b.tube(look, points, thickness)
    for bezier, ratio in zip(made.data.splines[0].bezier_points, ratios, strict=True):
        bezier.radius = ratio
    return made


def _wheel(at: b.Vec, radius: float, width: float, hub: bpy.types.Material) -> Objects:
    tyre = b.cone(_black(), at, radius, radius, width, (90, 0, 0))
    disc = b.cone(hub, at, radius * 0.55, radius * 0.55, width * 1.15, (90, 0, 0))
    return [tyre, disc]


# Worn and carried -------------------------------------------------------------------------------------------


def backpack(rng: random.Random, look: b.Look) -> Objects:
    w, h, d = rng.uniform(0.6, 0.72), rng.uniform(0.82, 0.95), rng.uniform(0.3, 0.38)
    outline = [(x, z + h / 2) for x, z in _rounded(w, h, 3.6)]
    body = _fleece(look, b.prism(look.paint(roughness=0.8), outline, d, bevel=0.09), 0.05, 250)
    pocket_h = h * rng.uniform(0.36, 0.44)
    pocket = [(x, z + pocket_h / 2 + 0.06) for x, z in _rounded(w * 0.74, pocket_h, 4.5)]
    front = b.prism(look.paint(0.82, roughness=0.8), pocket, 0.16, (0, -d / 2 - 0.03, 0), bevel=0.05)
    top = h * 0.97
    handle = b.tube(
        look.paint(0.7, roughness=0.8),
        [(-0.1, 0.05, top), (-0.07, 0.05, top + 0.11), (0.07, 0.05, top + 0.11), (0.1, 0.05, top)],
        0.025,
    )
    parts = [body, _fleece(look, front, 0.05, 90), handle]
    for side in (-1, 1):
        x = side * w / 2
        strap = b.tube(
            look.paint(0.65, roughness=0.8),
            [
                (x * 0.55, d * 0.35, h * 0.96),
                (x * 1.05, d * 0.75, h * 0.8),
                (x * 1.32, d * 0.8, h * 0.45),
                (x * 0.95, d * 0.4, 0.1),
            ],
            0.045,
        )
        parts += [strap, b.ball(look.paint(0.82, roughness=0.8), (x * 0.98, 0, 0.23), (0.08, d * 0.34, 0.2))]
    y = -d / 2 - 0.115
    if rng.random() < 0.5:
        flap = [(x, z + h * 0.78) for x, z in _rounded(w * 0.84, h * 0.34, 4)]
        parts.append(b.prism(look.paint(0.9, roughness=0.8), flap, 0.08, (0, -d / 2 - 0.02, 0), bevel=0.03))
        for x in (-w * 0.2, w * 0.2):
            parts.append(
                b.box(
                    b.material((0.2, 0.09, 0.03)), (x, -d / 2 - 0.085, h * 0.6), (0.05, 0.05, 0.3), bevel=0.01
                )
            )
            parts.append(b.box(_brass(), (x, -d / 2 - 0.1, h * 0.56), (0.08, 0.05, 0.06), bevel=0.01))
    else:
        zips = _steel()
        arc = [
            (w * 0.4 * math.cos(a), -d / 2 + 0.005, h * 0.6 + h * 0.3 * math.sin(a))
            for a in (math.pi * i / 8 for i in range(9))
        ]
        parts.append(b.tube(zips, arc, 0.014))
        z = 0.06 + pocket_h * 0.72
        parts.append(b.tube(zips, [(-w * 0.3, y, z), (0, y, z), (w * 0.3, y, z)], 0.014))
        parts.append(b.box(zips, (w * 0.22, y - 0.01, z - 0.05), (0.03, 0.02, 0.09), bevel=0.008))
    return parts


def _foot(
    look: bpy.types.Material, stations: Sequence[tuple[float, float, float]], low: float, taper: float
) -> bpy.types.Object:
    return _loft(look, [_arch(x, w, low, h, taper=taper) for x, w, h in stations])


def _sole(
    look: bpy.types.Material, stations: Sequence[tuple[float, float, float]], low: float, high: float
) -> bpy.types.Object:
    def section(x: float, w: float) -> list[b.Vec]:
        return [
            (x, w, low),
            (x, w * 1.04, (low + high) / 2),
            (x, w, high),
            (x, -w, high),
            (x, -w * 1.04, (low + high) / 2),
            (x, -w, low),
        ]

    return _loft(look, [section(x * 1.03, w * 1.1) for x, w, _ in stations])


def sneaker(rng: random.Random, look: b.Look) -> Objects:
    ankle, toe = rng.uniform(0.4, 0.5), rng.uniform(0.17, 0.22)
    stations = [
        (0.5, 0.08, ankle * 0.85),
        (0.47, 0.13, ankle * 1.02),
        (0.38, 0.165, ankle),
        (0.22, 0.165, ankle * 0.95),
        (0.1, 0.165, ankle * 1.03),
        (-0.02, 0.17, ankle * 0.84),
        (-0.2, 0.18, (ankle + toe) * 0.46),
        (-0.34, 0.175, toe + 0.02),
        (-0.44, 0.13, toe * 0.9),
        (-0.5, 0.06, toe * 0.66),
    ]
    high = rng.uniform(0.1, 0.13)
    parts = [
        look.cover(_foot(look.paint(roughness=0.7), stations, high * 0.7, 0.35), length=0.04, count=260),
        _sole(_white(), stations, 0.0, high),
    ]
    opening = b.ball(_black(), (0.27, 0, ankle * 0.955), (0.17, 0.085, 0.035))
    collar = b.ring(look.paint(0.8, roughness=0.8), (0.27, 0, ankle * 0.96), 0.1, 0.022)
    collar.scale = (1.75, 0.95, 1.0)
    tongue = b.ball(look.paint(0.9, roughness=0.8), (0.08, 0, ankle * 1.08), (0.035, 0.075, 0.1), (0, 25, 0))
    parts += [opening, collar, tongue]
    for i in range(4):
        t = i / 3
        x, z = 0.03 - 0.23 * t, ankle * 0.93 * (1 - t) + (ankle + toe) * 0.475 * t
        parts.append(
            b.tube(
                _white(), [(x + 0.03, -0.125, z - 0.06), (x, 0, z + 0.01), (x + 0.03, 0.125, z - 0.06)], 0.017
            )
        )
    for side in (-1, 1):
        parts.append(
            b.tube(
                _white(),
                [
                    (0.06, side * 0.08, ankle),
                    (0.0, side * 0.13, ankle * 0.98),
                    (-0.04, side * 0.16, ankle * 0.8),
                ],
                0.013,
            )
        )
    if rng.random() < 0.6:
        parts.append(b.ball(_white(), (-0.42, 0, high * 0.95), (0.095, 0.155, toe * 0.42)))
    return parts


def boot(rng: random.Random, look: b.Look) -> Objects:
    tall, girth = rng.uniform(0.88, 1.0), rng.uniform(0.16, 0.19)
    stations = [
        (0.25, 0.09, 0.3),
        (0.2, 0.14, 0.36),
        (0.06, 0.155, 0.4),
        (-0.08, 0.15, 0.33),
        (-0.22, 0.165, 0.25),
        (-0.34, 0.15, 0.21),
        (-0.41, 0.1, 0.17),
        (-0.45, 0.04, 0.13),
    ]
    parts = [look.cover(_foot(look.paint(roughness=0.5), stations, 0.06, 0.2), count=110)]
    profile = [
        (0.13, 0.2),
        (0.145, 0.32),
        (girth * 0.92, 0.5),
        (girth, 0.7),
        (girth * 1.05, tall),
        (girth * 0.9, tall),
        (girth * 0.85, tall - 0.12),
        (0.0, tall - 0.12),
    ]
    parts.append(look.cover(b.lathe(look.paint(roughness=0.5), profile, (0.09, 0, 0)), count=220))
    parts.append(b.cone(_black(), (0.09, 0, tall - 0.06), girth * 0.9, girth * 0.92, 0.03))
    sole = _black() if rng.random() < 0.6 else b.material((0.22, 0.1, 0.04))
    parts += [
        _sole(sole, stations, 0.03, 0.08),
        b.box(sole, (0.14, 0, 0.035), (0.24, 0.29, 0.07), bevel=0.015),
    ]
    if rng.random() < 0.5:
        parts.append(b.ring(look.paint(0.7), (0.09, 0, tall - 0.02), girth * 1.04, 0.03))
        strap = b.ring(look.paint(0.6), (0.09, 0, 0.42), 0.155, 0.022, (0, -12, 0))
        parts += [strap, b.box(_brass(), (0.06, -0.175, 0.43), (0.07, 0.03, 0.07), bevel=0.01)]
    else:
        laces = _white() if rng.random() < 0.6 else _black()
        for i in range(5):
            z = 0.37 + 0.1 * i
            x = 0.09 - girth * (0.86 + 0.04 * i)
            parts.append(
                b.tube(
                    laces, [(x + 0.09, -0.13, z + 0.03), (x - 0.01, 0, z), (x + 0.09, 0.13, z + 0.03)], 0.014
                )
            )
        parts.append(
            b.tube(
                look.paint(0.7),
                [(0.27, -0.02, tall - 0.08), (0.3, 0, tall + 0.03), (0.27, 0.02, tall - 0.08)],
                0.018,
            )
        )
    return parts


def glasses(rng: random.Random, look: b.Look) -> Objects:
    w, h = rng.uniform(0.36, 0.42), rng.uniform(0.3, 0.38)
    power, thick = rng.choice([2.0, 2.0, 2.8, 3.6]), rng.uniform(0.036, 0.046)
    frame = look.paint(roughness=0.3)
    lens = _pane() if rng.random() < 0.6 else b.material((0.9, 0.95, 1.0), roughness=0.0, transmission=1.0)
    middle, centre = h / 2 + thick, w / 2 + rng.uniform(0.06, 0.08)
    raise_outer = rng.choice([0.0, 0.0, 0.06])
    parts = []
    for side in (-1, 1):
        rim = [
            (side * (centre + x), z + middle + raise_outer * max(0.0, x / w + z / h))
            for x, z in _rounded(w, h, power, 16)
        ]
        parts.append(_rim(frame, look, rim, thick))
        parts.append(b.prism(lens, rim, 0.012))
        x, z = side * (centre + w / 2 + 0.02), middle + h * 0.22
        parts.append(
            b.tube(
                frame,
                [
                    (x, 0, z),
                    (x, 0.08, z),
                    (x * 0.98, 0.5, z),
                    (x * 0.96, 0.62, z * 0.7),
                    (x * 0.95, 0.7, 0.035),
                ],
                thick * 0.75,
            )
        )
        parts.append(b.ball(frame, (x, 0.0, z), thick * 1.15))
    gap = centre - w / 2 + 0.01
    bridge = middle + h * 0.18
    parts.append(b.tube(frame, [(-gap, 0, bridge), (0, 0, bridge + 0.04), (gap, 0, bridge)], thick * 0.85))
    return parts


def _rim(
    frame: bpy.types.Material, look: b.Look, outline: Sequence[tuple[float, float]], thick: float
) -> bpy.types.Object:
    """A closed tube in x and z as a mesh, since hair grows on meshes only."""
    curve = b.tube(frame, [(x, 0, z) for x, z in outline], thick, closed=True)
    data = bpy.data.meshes.new_from_object(curve)
    bpy.data.objects.remove(curve)
    data.materials.clear()
    data.materials.append(frame)
    made = bpy.data.objects.new("rim", data)
    bpy.context.collection.objects.link(made)
    return look.cover(made, length=0.04, count=120)


# Household --------------------------------------------------------------------------------------------------


def _dial(rng: random.Random, radius: float, at: b.Vec) -> Objects:
    """A white dial towards -y with ticks and two hands."""
    x, y, z = at
    parts = [b.cone(_white(), at, radius, radius, 0.03, (90, 0, 0))]
    ink = _black()
    for i in range(12):
        a, size = math.tau * i / 12, 0.2 if i % 3 == 0 else 0.11
        r = radius * (0.93 - size / 2)
        parts.append(
            b.box(
                ink,
                (x + r * math.sin(a), y - 0.015, z + r * math.cos(a)),
                (radius * 0.06, 0.012, radius * size),
                (0, math.degrees(a), 0),
            )
        )
    minute = rng.choice(range(0, 360, 30))
    for length, width, angle in (
        (0.5, 0.11, rng.choice(range(0, 360, 30)) + minute / 12),
        (0.74, 0.08, minute),
    ):
        a, half = math.radians(angle), radius * length / 2
        parts.append(
            b.box(
                ink,
                (x + half * math.sin(a), y - 0.026, z + half * math.cos(a)),
                (radius * width, 0.012, radius * length),
                (0, angle, 0),
            )
        )
    hub = b.material((0.6, 0.05, 0.04)) if rng.random() < 0.5 else ink
    return [*parts, b.cone(hub, (x, y - 0.03, z), radius * 0.09, radius * 0.09, 0.03, (90, 0, 0))]


def clock(rng: random.Random, look: b.Look) -> Objects:
    d, r = rng.uniform(0.22, 0.32), 0.38
    style = rng.choice(["alarm", "alarm", "round", "mantel"])
    z = r + 0.08
    case = look.paint(roughness=0.3)
    if style == "mantel":
        arch = [(-0.42, 0.0), (0.42, 0.0), (0.42, 0.45)]
        angles = [math.pi * i / 16 for i in range(1, 16)]
        arch += [(0.42 * math.cos(a), 0.45 + 0.42 * math.sin(a)) for a in angles]
        body = b.prism(case, [*arch, (-0.42, 0.45)], d, bevel=0.03)
        parts = [b.box(look.paint(0.75), (0, 0, 0.04), (1.0, d + 0.1, 0.08), bevel=0.02)]
        z = 0.45
    else:
        body = b.cone(case, (0, 0, z), r, r, d, (90, 0, 0), sides=40)
        parts = [b.ring(look.paint(0.9, roughness=0.3), (0, -d / 2, z), r - 0.03, 0.045, (90, 0, 0))]
        for side in (-1, 1):
            foot = b.cone(look.paint(0.75), (side * 0.22, 0, 0.08), 0.03, 0.06, 0.2, (0, -side * 28, 0))
            parts.append(foot)
    parts += [_fleece(look, body, 0.05, 260), *_dial(rng, rng.uniform(0.25, 0.285), (0, -d / 2 - 0.02, z))]
    if style == "alarm":
        for side in (-1, 1):
            bell = [(0.16, 0.0), (0.15, 0.06), (0.11, 0.11), (0.05, 0.14), (0.0, 0.145)]
            parts.append(
                b.lathe(
                    look.paint(0.9, roughness=0.25), bell, (side * 0.22, 0, z + r * 0.86), (0, side * 32, 0)
                )
            )
            parts.append(b.ball(_steel(), (side * 0.3, 0, z + r * 0.86 + 0.13), 0.03))
        parts.append(
            b.tube(
                _steel(),
                [
                    (-0.2, 0, z + r + 0.1),
                    (-0.12, 0, z + r + 0.2),
                    (0.12, 0, z + r + 0.2),
                    (0.2, 0, z + r + 0.1),
                ],
                0.018,
            )
        )
    elif style == "round":
        parts.append(b.ring(_steel(), (0, 0, z + r + 0.05), 0.07, 0.02, (90, 0, 0)))
    return parts


def teapot(rng: random.Random, look: b.Look) -> Objects:
    r, h, belly = rng.uniform(0.33, 0.38), rng.uniform(0.46, 0.6), rng.uniform(0.35, 0.5)
    glaze = look.paint(roughness=0.2, coat=0.5)
    profile = [
        (0.0, 0.0),
        (r * 0.62, 0.0),
        (r * 0.6, 0.03),
        (r * 0.86, h * belly * 0.4),
        (r, h * belly),
        (r * 0.93, h * 0.7),
        (r * 0.7, h * 0.92),
        (r * 0.56, h),
        (0.0, h),
    ]
    lid = [
        (r * 0.58, h - 0.01),
        (r * 0.55, h + 0.03),
        (r * 0.35, h + 0.09),
        (r * 0.1, h + 0.11),
        (0.0, h + 0.11),
    ]
    knob = _brass() if rng.random() < 0.4 else look.paint(0.8, roughness=0.2)
    rim = look.paint(0.75, roughness=0.2) if rng.random() < 0.5 else _white()
    spout = _tapered(
        glaze,
        [(-r * 0.75, 0, h * 0.3), (-r - 0.1, 0, h * 0.42), (-r - 0.17, 0, h * 0.75), (-r - 0.27, 0, h * 1.0)],
        0.085,
        [1.15, 0.9, 0.6, 0.5],
    )
    out = r + rng.uniform(0.2, 0.26)
    handle = b.tube(
        glaze,
        [
            (r * 0.75, 0, h * 0.88),
            (out * 0.9, 0, h * 0.98),
            (out, 0, h * 0.65),
            (out * 0.85, 0, h * 0.32),
            (r * 0.9, 0, h * 0.26),
        ],
        rng.uniform(0.035, 0.045),
    )
    parts = [
        look.cover(b.lathe(glaze, profile), count=240),
        look.cover(b.lathe(look.paint(0.95, roughness=0.2), lid), count=50),
        b.ball(knob, (0, 0, h + 0.145), 0.055),
        b.ring(rim, (0, 0, h), r * 0.58, 0.016),
        spout,
        handle,
    ]
    if rng.random() < 0.4:
        parts.append(b.ring(_white(), (0, 0, h * belly), r * 0.995, 0.018))
    return parts


def cup(rng: random.Random, look: b.Look) -> Objects:
    r, h, foot = rng.uniform(0.32, 0.38), rng.uniform(0.62, 0.8), rng.uniform(0.7, 1.0)
    glaze = look.paint(roughness=0.25, coat=0.4)
    outer = [
        (0.0, 0.0),
        (r * foot * 0.93, 0.0),
        (r * foot, 0.03),
        (r * (0.55 + 0.45 * foot), h * 0.35),
        (r, h * 0.75),
        (r, h),
        (r * 0.96, h + 0.012),
        (r * 0.91, h),
    ]
    inside = _white() if rng.random() < 0.6 else look.paint(0.9, roughness=0.25)
    inner = [(r * 0.91, h), (r * 0.9, h * 0.6), (0.0, h * 0.6)]
    drink = b.material(rng.choice([(0.1, 0.04, 0.015), (0.3, 0.13, 0.05), (0.35, 0.14, 0.03)]), roughness=0.1)
    out = r + rng.uniform(0.24, 0.3)
    x = r * (0.62 + 0.38 * foot) * 0.98
    handle = b.tube(
        look.paint(0.95, roughness=0.25),
        [
            (r * 0.95, 0, h * 0.82),
            (out * 0.93, 0, h * 0.82),
            (out, 0, h * 0.55),
            (out * 0.9, 0, h * 0.28),
            (x, 0, h * 0.24),
        ],
        rng.uniform(0.045, 0.06),
    )
    parts = [
        look.cover(b.lathe(glaze, outer, sides=40), count=260),
        b.lathe(inside, inner, sides=40),
        handle,
        b.lathe(drink, [(r * 0.905, h * 0.84), (0.0, h * 0.85)]),
    ]
    if rng.random() < 0.4:
        low, high = h * 0.8, h * 0.9
        parts.append(b.lathe(_white(), [(r, low), (r * 1.012, low), (r * 1.012, high), (r, high)], sides=40))
    return parts


def chair(rng: random.Random, look: b.Look) -> Objects:
    w, d, seat = rng.uniform(0.44, 0.54), rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.48)
    top, leg, splay = rng.uniform(0.92, 1.05), rng.uniform(0.03, 0.04), rng.uniform(0.0, 0.05)
    paint = look.paint(roughness=0.45)
    x, y = w / 2 - leg, d / 2 - leg
    parts = [_fleece(look, b.box(paint, (0, 0, seat), (w, d, 0.07), bevel=0.02), 0.05, 120)]
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts.append(
                b.tube(paint, [(sx * (x + splay), sy * (y + splay), 0), (sx * x, sy * y, seat)], leg)
            )
        parts.append(b.tube(paint, [(sx * x, y, seat), (sx * x, y + 0.05, top)], leg))
        parts.append(
            b.tube(look.paint(0.85), [(sx * x, -y, seat * 0.45), (sx * x, y, seat * 0.45)], leg * 0.6)
        )
    parts.append(b.box(paint, (0, y + 0.05, top - 0.04), (w, 0.06, 0.14), bevel=0.025))
    style = rng.choice(["panel", "slats", "ladder"])
    if style == "panel":
        panel = (w - 0.1, 0.045, (top - seat) * 0.65)
        board = b.box(paint, (0, y + 0.03, (seat + top) / 2 + 0.05), panel, bevel=0.015)
        parts.append(_fleece(look, board, 0.05, 120))
    elif style == "slats":
        for i in range(-1, 2):
            parts.append(
                b.box(look.paint(0.9), (i * w * 0.22, y + 0.03, (seat + top) / 2), (0.055, 0.03, top - seat))
            )
    else:
        for z in (0.35, 0.62):
            parts.append(
                b.box(
                    look.paint(0.9),
                    (0, y + 0.03, seat + (top - seat) * z),
                    (w - 0.05, 0.035, 0.075),
                    bevel=0.01,
                )
            )
    return parts


def guitar(rng: random.Random, look: b.Look) -> Objects:
    electric = rng.random() < 0.35
    upper, waist, lower = rng.uniform(0.17, 0.19), rng.uniform(0.13, 0.145), rng.uniform(0.235, 0.265)
    knots = [
        (0.0, 0.0),
        (lower * 0.6, 0.02),
        (lower * 0.95, 0.09),
        (lower, 0.17),
        (lower * 0.85, 0.25),
        (waist, 0.32),
        (upper * 0.95, 0.38),
        (upper, 0.43),
        (upper * 0.8, 0.485),
        (0.06, 0.5),
    ]
    right = [(x * 0.96, z + (0.05 if electric and 0.42 < z < 0.49 else 0)) for x, z in knots]
    left = [(-x, z + (0.07 if electric and 0.42 < z < 0.49 else 0)) for x, z in reversed(knots[1:])]
    d = 0.07 if electric else 0.13
    neck, dark, y = _wood(rng), b.material((0.04, 0.02, 0.012)), -d / 2
    parts = [
        _fleece(look, b.prism(look.paint(roughness=0.25, coat=0.6), right + left, d, bevel=0.02), 0.05, 300),
        b.box(neck, (0, y, 0.64), (0.07, 0.05, 0.4)),
        b.box(dark, (0, y - 0.025, 0.62), (0.073, 0.02, 0.46)),
        b.prism(
            neck, [(-0.04, 0.84), (0.04, 0.84), (0.065, 1.0), (0, 0.985), (-0.065, 1.0)], 0.04, (0, y, 0)
        ),
        b.box(dark, (0, y - 0.012, 0.13), (0.14, 0.03, 0.03), bevel=0.005),
    ]
    if electric:
        parts.append(
            b.prism(
                _white(), [(x * 0.42, 0.13 + z * 0.4) for x, z in right + left], 0.015, (0.03, y - 0.005, 0)
            )
        )
        parts += [b.box(_black(), (0, y - 0.02, z), (0.11, 0.03, 0.035), bevel=0.005) for z in (0.22, 0.32)]
    else:
        parts += [
            b.cone(dark, (0, y - 0.002, 0.31), 0.06, 0.06, 0.02, (90, 0, 0)),
            b.ring(_white(), (0, y, 0.31), 0.068, 0.009, (90, 0, 0)),
        ]
    for i in range(4):
        x = (i - 1.5) * 0.012
        parts.append(b.tube(_steel(), [(x, y - 0.04, 0.13), (x, y - 0.04, 0.88)], 0.0022))
    for i in range(3):
        for side in (-1, 1):
            parts.append(
                b.ball(
                    _steel(),
                    (side * (0.065 + 0.006 * i), y, 0.87 + 0.045 * i),
                    (0.018, 0.012, 0.012),
                    segments=10,
                )
            )
    return parts


# Vehicles and buildings -------------------------------------------------------------------------------------


def car(rng: random.Random, look: b.Look) -> Objects:
    w, wheel, waist = rng.uniform(0.42, 0.48), rng.uniform(0.1, 0.125), rng.uniform(0.28, 0.32)
    roof, style = waist + rng.uniform(0.17, 0.22), rng.choice(["saloon", "hatch", "beetle"])
    front, back, slope = {
        "saloon": (-0.2, 0.3, 0.12),
        "hatch": (-0.2, 0.46, 0.07),
        "beetle": (-0.24, 0.36, 0.17),
    }[style]
    bonnet = waist - (0.0 if style == "beetle" else 0.02)
    paint = look.paint(roughness=0.2, coat=0.8)
    body = [
        (-0.5, wheel * 0.7),
        (0.5, wheel * 0.7),
        (0.5, waist - 0.04),
        (0.46, waist),
        (front, waist),
        (-0.4, bonnet),
        (-0.48, bonnet - 0.05),
        (-0.5, bonnet - 0.09),
    ]
    cabin = [(front, waist - 0.02), (back, waist - 0.02), (back - slope * 0.7, roof), (front + slope, roof)]
    parts = [
        _fleece(look, b.prism(paint, body, w, bevel=0.04), 0.06, 250),
        _fleece(look, b.prism(paint, cabin, w * 0.88, bevel=0.04), 0.06, 110),
    ]
    low, high, middle = waist + 0.015, roof - 0.045, (front + back) / 2
    pane = _pane()
    for x0, x1, a, z in ((front + 0.05, middle - 0.015, 1, 0), (middle + 0.015, back - 0.05, 0, 1)):
        window = [(x0, low), (x1, low), (x1 - z * slope * 0.5, high), (x0 + a * slope * 0.72, high)]
        parts.append(b.prism(pane, window, w * 0.88 + 0.014))
    screens = [
        (front - 0.008, waist),
        (back + 0.008, waist),
        (back - slope * 0.55 + 0.01, high),
        (front + slope * 0.78 - 0.012, high),
    ]
    parts.append(b.prism(pane, screens, w * 0.7))
    hub = _steel() if rng.random() < 0.6 else _white()
    for x in (-0.3, 0.3):
        for side in (-1, 1):
            parts += _wheel((x, side * (w / 2 - 0.02), wheel), wheel, 0.09, hub)
    for side in (-1, 1):
        lamp, tail = b.material((1.0, 0.9, 0.6), emission=0.3), b.material((0.5, 0.02, 0.02))
        parts.append(b.ball(lamp, (-0.495, side * w * 0.33, bonnet - 0.09), (0.03, 0.045, 0.045)))
        parts.append(b.box(tail, (0.49, side * w * 0.36, waist - 0.09), (0.03, 0.07, 0.05), bevel=0.01))
    for x in (-0.5, 0.5):
        parts.append(b.box(_steel(), (x, 0, wheel * 0.85), (0.05, w * 0.94, 0.045), bevel=0.02))
    return parts


def _opening(look: bpy.types.Material, at: b.Vec, width: float, height: float) -> Objects:
    """A window towards -y: a white frame with a cross before a pane."""
    x, y, z = at
    frame = _white()
    return [
        b.box(frame, at, (width + 0.04, 0.03, height + 0.04)),
        b.box(look, (x, y - 0.008, z), (width, 0.03, height)),
        b.box(frame, (x, y - 0.012, z), (0.015, 0.03, height)),
        b.box(frame, (x, y - 0.012, z), (width, 0.03, 0.015)),
    ]


def house(rng: random.Random, look: b.Look) -> Objects:
    w, d, h = rng.uniform(0.62, 0.78), rng.uniform(0.5, 0.62), rng.uniform(0.42, 0.56)
    rise, over = rng.uniform(0.2, 0.28), 0.045
    gable = [(-w / 2, 0), (w / 2, 0), (w / 2, h), (0, h + rise), (-w / 2, h)]
    parts = [_fleece(look, b.prism(look.paint(roughness=0.8), gable, d), 0.035, 280)]
    tiles = b.material(
        rng.choice([(0.22, 0.05, 0.03), (0.1, 0.05, 0.035), (0.05, 0.05, 0.06)]), roughness=0.8
    )
    angle, length = math.atan2(rise, w / 2), math.hypot(rise, w / 2) + over
    for side in (-1, 1):
        x = side * length / 2 * math.cos(angle)
        z = h + rise + 0.02 - length / 2 * math.sin(angle)
        parts.append(
            b.box(tiles, (x, 0, z), (length, d + 2 * over, 0.045), (0, side * math.degrees(angle), 0))
        )
    chimney = rng.choice([-1, 1]) * w * 0.24
    parts.append(
        b.box(b.material((0.25, 0.08, 0.05)), (chimney, 0.06, h + rise * 0.75), (0.1, 0.1, rise * 0.8))
    )
    y, glass = -d / 2, b.material((0.12, 0.2, 0.3), roughness=0.1, coat=1.0)
    door_x = rng.choice([0.0, -w * 0.22, w * 0.22])
    parts += [
        b.box(_wood(rng), (door_x, y - 0.005, 0.13), (0.14, 0.03, 0.26)),
        b.box(_white(), (door_x, y, 0.135), (0.18, 0.03, 0.29)),
        b.ball(_brass(), (door_x + 0.045, y - 0.025, 0.13), 0.012),
        b.box(b.material((0.3, 0.3, 0.3)), (door_x, y - 0.04, 0.015), (0.22, 0.1, 0.03)),
    ]
    columns = [-w * 0.32, w * 0.32] if door_x == 0 else [-door_x]
    size = 0.12 if door_x == 0 else 0.17
    for x in columns:
        parts += _opening(glass, (x, y, h * 0.48), size, size * 1.1)
    parts += _opening(glass, (0, y, h + rise * 0.28), 0.11, 0.11)
    for side in (-1, 1):
        for yy in (-d * 0.22, d * 0.22):
            parts.append(b.box(_white(), (side * w / 2, yy, h * 0.5), (0.02, 0.17, 0.19)))
            parts.append(b.box(glass, (side * w / 2, yy, h * 0.5), (0.03, 0.13, 0.15)))
    return parts


def rocket(rng: random.Random, look: b.Look) -> Objects:
    r, h, base = rng.uniform(0.15, 0.19), rng.uniform(0.92, 1.0), 0.14

    def width(t: float) -> float:
        return (
            r * (0.62 + 0.38 * math.sin(math.pi * min(1.0, t * 1.25 + 0.12)))
            if t < 0.35
            else r * max(0.0, 1 - ((t - 0.35) / 0.65) ** 2.2)
        )

    profile = [(max(width(t / 20), 0.0), base + (h - base) * t / 20) for t in range(21)]
    hull, nose = profile[:15], profile[14:]
    tip = rng.choice([look.paint(0.65, roughness=0.3), _white(), b.material((0.35, 0.03, 0.03))])
    parts = [
        look.cover(b.lathe(look.paint(roughness=0.3), hull), count=280),
        b.lathe(tip, nose),
        b.cone(_steel(), (0, 0, base - 0.03), r * 0.62, r * 0.4, 0.09),
        b.ring(_steel(), (0, 0, hull[-1][1]), hull[-1][0], 0.012),
    ]
    count = rng.choice([3, 4])
    fin = [(r * 0.5, base + 0.04), (r + 0.15, 0.0), (r + 0.19, 0.02), (r + 0.17, 0.14), (r * 0.9, 0.4)]
    colour = look.paint(0.65, roughness=0.3)
    for i in range(count):
        parts.append(
            b.prism(
                colour, fin, 0.035, turn=(0, 0, 360 / count * i - (-90 if count == 3 else 45)), bevel=0.01
            )
        )
    z = base + (h - base) * 0.42
    for level, size in ((z, 0.075), (z - 0.2, 0.05))[: rng.choice([1, 2])]:
        y = -width((level - base) / (h - base)) + 0.012
        parts.append(b.cone(_pane(), (0, y, level), size, size, 0.03, (90, 0, 0)))
        parts.append(b.ring(_steel(), (0, y - 0.008, level), size, 0.017, (90, 0, 0)))
    return parts


def _hull(look: bpy.types.Material, length: float, width: float, height: float) -> bpy.types.Object:
    """A boat's hull along x, bow at -x, sheer rising to the bow."""
    sections = []
    for t, fat, sheer in (
        (0.0, 0.02, 1.25),
        (0.06, 0.2, 1.2),
        (0.2, 0.6, 1.08),
        (0.4, 0.92, 1.0),
        (0.65, 1.0, 0.98),
        (0.88, 0.88, 1.02),
        (1.0, 0.74, 1.06),
    ):
        top, half = height * sheer, width / 2 * fat
        keel = height * 0.55 * max(0.0, 1 - t / 0.25) ** 1.5
        x = length * (t - 0.5)
        inset = (length * 0.07 * (1 - t / 0.3)) if t < 0.3 else 0.0
        sections.append(
            [
                (x + inset, half * c, keel + (top - keel) * z) if z < 1 else (x, half * c, top)
                for c, z in (
                    (1, 1),
                    (0.93, 0.6),
                    (0.72, 0.2),
                    (0.3, 0.0),
                    (-0.3, 0.0),
                    (-0.72, 0.2),
                    (-0.93, 0.6),
                    (-1, 1),
                )
            ]
        )
    return _loft(look, sections)


def boat(rng: random.Random, look: b.Look) -> Objects:
    length, width, height = rng.uniform(0.9, 1.0), rng.uniform(0.34, 0.4), rng.uniform(0.19, 0.24)
    sailing = rng.random() < 0.6
    white_sails = sailing and rng.random() < 0.5
    height *= 1.5 if white_sails else 1.15
    parts = [look.cover(_hull(look.paint(roughness=0.4), length, width, height), count=240)]
    parts.append(
        _loft(
            _wood(rng),
            [
                [
                    (length * (t - 0.5), s * width / 2 * fat, height * 0.99 + z)
                    for s, z in ((1, 0.0), (1, 0.015), (-1, 0.015), (-1, 0.0))
                ]
                for t, fat in ((0.12, 0.3), (0.3, 0.72), (0.6, 0.9), (0.99, 0.7))
            ],
        )
    )
    return parts + (_sails(rng, look, height, white_sails) if sailing else _tug(rng, look, width, height))


def _sails(rng: random.Random, look: b.Look, deck: float, white: bool) -> Objects:
    """Mast, mainsail and jib; white ones are small,
    so that the painted hull still gives the boat its colour."""
    top = rng.uniform(0.72, 0.8) if white else rng.uniform(0.9, 1.0)
    cloth = _white() if white else look.paint(0.95, roughness=0.9)
    tall = top - 0.03 - (deck + 0.09)
    main = [(0.4 * (1 - t) ** 0.85, deck + 0.09 + tall * t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    main = [(0.0, deck + 0.09), *main]
    jib = [(-0.06, deck + 0.1), (-0.06, top * 0.86), (-0.2, deck + 0.1 + tall * 0.45), (-0.37, deck + 0.12)]
    wood = b.material((0.33, 0.17, 0.07))
    flag = b.material((0.6, 0.04, 0.04))
    return [
        b.tube(wood, [(-0.03, 0, deck), (-0.03, 0, top)], 0.018),
        b.tube(wood, [(-0.03, 0, deck + 0.06), (0.42, 0, deck + 0.06)], 0.014),
        b.prism(cloth, main, 0.02, turn=(0, 0, -6)),
        b.prism(cloth, jib, 0.02, turn=(0, 0, 6)),
        b.prism(flag, [(-0.03, top), (0.09, top + 0.03), (-0.03, top + 0.06)], 0.01),
    ]


def _tug(rng: random.Random, look: b.Look, width: float, deck: float) -> Objects:
    h, x = rng.uniform(0.2, 0.26), rng.uniform(-0.12, -0.04)
    parts = [
        b.box(_white(), (x, 0, deck + h / 2), (0.32, width * 0.6, h), bevel=0.02),
        b.box(look.paint(0.75), (x, 0, deck + h + 0.02), (0.38, width * 0.7, 0.04), bevel=0.015),
        b.cone(look.paint(roughness=0.4), (x + 0.26, 0, deck + 0.17), 0.075, 0.07, 0.34),
        b.cone(_black(), (x + 0.26, 0, deck + 0.36), 0.073, 0.073, 0.07),
        b.tube(
            b.material((0.33, 0.17, 0.07)), [(x - 0.05, 0, deck + h), (x - 0.05, 0, deck + h + 0.2)], 0.012
        ),
    ]
    for dx in (-0.09, 0.01, 0.11):
        parts.append(
            b.cone(_pane(), (x + dx - 0.01, 0, deck + h * 0.62), 0.035, 0.035, width * 0.6 + 0.02, (90, 0, 0))
        )
    parts.append(b.box(_pane(), (x - 0.16, 0, deck + h * 0.65), (0.02, width * 0.45, h * 0.3)))
    for dx in (-0.2, 0.0, 0.2):
        parts.append(b.ring(_black(), (dx + 0.08, -width * 0.49, deck * 0.62), 0.045, 0.02, (90, 0, 0)))
    return parts


def train(rng: random.Random, look: b.Look) -> Objects:
    r, wheel, w = rng.uniform(0.14, 0.165), rng.uniform(0.1, 0.115), 0.34
    axis = wheel * 1.6 + r
    paint = look.paint(roughness=0.35)
    boiler = look.cover(b.cone(paint, (-0.12, 0, axis), r, r, 0.6, (0, 90, 0)), count=160)
    top = axis + r + rng.uniform(0.12, 0.17)
    cab = b.box(paint, (0.29, 0, (wheel + top) / 2 + 0.03), (0.3, w, top - wheel - 0.06), bevel=0.015)
    cab = _fleece(look, cab, 0.05, 140)
    roof = b.box(look.paint(0.6), (0.29, 0, top + 0.01), (0.4, w + 0.08, 0.05), bevel=0.02)
    parts = [
        boiler,
        cab,
        roof,
        b.box(_black(), (-0.02, 0, wheel * 1.4), (0.92, w * 0.7, 0.07)),
        b.cone(look.paint(0.6), (-0.44, 0, axis), r * 1.05, r * 1.05, 0.06, (0, 90, 0)),
        b.ball(b.material((1.0, 0.85, 0.5), emission=0.3), (-0.48, 0, axis + r * 0.45), (0.03, 0.05, 0.05)),
        b.ball(_brass(), (-0.06, 0, axis + r), (0.07, 0.07, 0.09)),
    ]
    chimney = rng.uniform(0.17, 0.23)
    flare = rng.choice([1.0, 1.6, 2.0])
    parts += [
        b.cone(_black(), (-0.32, 0, axis + r + chimney / 2 - 0.03), 0.05, 0.05 * flare, chimney),
        b.ring(_brass(), (-0.32, 0, axis + r + chimney - 0.035), 0.05 * flare, 0.014),
    ]
    for x in (-0.22, 0.0):
        parts.append(b.ring(_brass(), (x, 0, axis), r, 0.011, (0, 90, 0)))
    window = [(0.21, axis + r * 0.35), (0.37, axis + r * 0.35), (0.37, top - 0.05), (0.21, top - 0.05)]
    parts.append(b.prism(_pane(), window, w + 0.012))
    parts.append(b.prism(look.paint(0.7), [(-0.6, 0.02), (-0.44, 0.02), (-0.44, wheel * 1.5)], w * 0.9))
    hub = rng.choice([b.material((0.5, 0.03, 0.03)), _brass(), _steel()])
    for x, size in ((-0.34, 0.7), (-0.13, 1.0), (0.1, 1.0), (0.33, 1.0)):
        for side in (-1, 1):
            parts += _wheel((x, side * w * 0.43, wheel * size), wheel * size, 0.05, hub)
    for side in (-1, 1):
        parts.append(b.box(_steel(), (0.1, side * (w * 0.43 + 0.035), wheel), (0.48, 0.02, 0.03)))
    return parts


KINDS: dict[str, Builder] = {
    "backpack": backpack,
    "clock": clock,
    "sneaker": sneaker,
    "boot": boot,
    "glasses": glasses,
    "teapot": teapot,
    "car": car,
    "house": house,
    "cup": cup,
    "rocket": rocket,
    "chair": chair,
    "guitar": guitar,
    "boat": boat,
    "train": train,
}
