"""More animals, food and furniture of the toybox; `KINDS` maps a caption's noun to what builds it."""

import math
import random

import blend as b
import bpy
from mathutils import Matrix, Vector
from things_soft import TAU, Builder, Parts, _black, _cover, _eyes, _limb, _mirrored, _on, _pattern, _white


def _turned(parts: Parts, degrees: float) -> Parts:
    """The parts turned about z through the origin."""
    turn = Matrix.Rotation(math.radians(degrees), 3, "Z")
    for part in parts:
        part.location = turn @ part.location
        part.rotation_euler = (turn @ part.rotation_euler.to_matrix()).to_euler()
    return parts


# Animals ----------------------------------------------------------------------------------------------------


def penguin(rng: random.Random, look: b.Look) -> Parts:
    """An upright penguin: painted back, head and flippers, a white front and face, orange beak and feet."""
    paint, white = look.paint(roughness=0.5), b.material((0.87, 0.84, 0.77), roughness=0.6)
    orange = b.material(b.linear(rng.choice(("#f08a18", "#f5a31c", "#ee7416"))), roughness=0.35)
    wide, tall = rng.uniform(0.25, 0.31), rng.uniform(0.35, 0.4)
    size = rng.uniform(0.19, 0.225)
    trunk, girth = Vector((0, 0, tall + 0.03)), Vector((wide, wide * 0.88, tall))
    head, radii = Vector((0, -0.02, tall * 2 + size * 0.42)), Vector((size * 1.05, size, size * 0.95))
    soft = [
        b.ball(paint, trunk, girth),
        b.ball(paint, head, radii),
        _limb(paint, trunk, head, size * 0.95),
        _limb(paint, (0, wide * 0.5, 0.2), (0, wide * 1.35, 0.03), 0.11, 0.5),
    ]
    hard = [b.ball(white, trunk + Vector((0, -wide * 0.2, -0.02)), (wide * 0.8, wide * 0.77, tall * 0.86))]
    for azimuth, height, r in ((-24, 3, 0.44), (24, 3, 0.44), (-14, -28, 0.42), (14, -28, 0.42)):
        hard.append(b.ball(white, _on(head, radii, azimuth, height, 0.68), size * r))
    lift = rng.choice((0.12, 0.2, 0.3))
    for side in (-1, 1):
        shoulder = trunk + Vector((side * wide * 0.72, 0, tall * 0.62))
        out = lift * rng.uniform(0.8, 1.25)
        tip = shoulder + Vector((side * (0.1 + out), -0.05, -0.44 + out * 0.55))
        soft.append(_limb(paint, shoulder + Vector((-side * 0.04, 0, 0.03)), tip, 0.05, 1.9))
        hard.append(
            b.ball(orange, (side * wide * 0.5, -wide * 0.72, 0.035), (0.115, 0.16, 0.045), (0, 0, side * 18))
        )
    long = rng.uniform(0.13, 0.19)
    beak = _on(head, radii, 0, -10, 0.95)
    hard.append(b.cone(orange, beak + Vector((0, -long * 0.45, 0)), 0.07, 0.008, long, (97, 0, 0)))
    hard += _eyes(head, radii, azimuth=25, height=12, size=0.05)
    if rng.random() < 0.4:
        yellow = b.material(b.linear("#f4c430"), roughness=0.6)
        hard += _mirrored(
            lambda side: b.ball(
                yellow, _on(head, radii, side * 75, -28, 0.92), (0.05, 0.08, 0.08), segments=12
            )
        )
    _cover(look, soft, length=0.04)
    return soft + hard


def rabbit(rng: random.Random, look: b.Look) -> Parts:
    """A crouching rabbit half turned aside, its long ears upright, its tail and cheeks white."""
    paint = look.paint(roughness=0.85)
    white, pink = _white(), b.material(b.linear("#eba3ab"), roughness=0.8)
    wide, side = rng.uniform(0.27, 0.31), rng.choice((-1, 1))
    soft = [
        _limb(paint, (0, -0.3, 0.38), (0, 0.42, 0.2), wide),
        b.ball(paint, (0, 0.16, 0.28), (wide * 1.05, 0.27, 0.27)),
        b.ball(paint, (0, -0.2, 0.3), (wide * 0.78, 0.17, 0.22)),
    ]
    for s in (-1, 1):
        soft.append(b.ball(paint, (s * wide * 0.86, 0.15, 0.2), (0.12, 0.22, 0.2)))
        soft.append(b.ball(paint, (s * wide * 0.95, -0.02, 0.05), (0.07, 0.18, 0.05)))
        soft.append(_limb(paint, (s * 0.1, -0.24, 0.32), (s * 0.09, -0.3, 0.0), 0.065))
        soft.append(b.ball(paint, (s * 0.09, -0.34, 0.04), (0.06, 0.09, 0.045)))
    tail = b.ball(white, (0, 0.46, 0.24), 0.12)
    yaw = side * rng.uniform(15, 50)
    _turned([*soft, tail], yaw)
    neck = Matrix.Rotation(math.radians(yaw), 3, "Z") @ Vector((0, -0.29, 0.58))
    radii = Vector((0.175, 0.2, 0.17)) * rng.uniform(0.97, 1.1)
    face = [b.ball(paint, neck, radii)]
    hard: Parts = []
    long, spread = rng.uniform(0.4, 0.5), rng.uniform(0.03, 0.12)
    for s in (-1, 1):
        root, lean = neck + Vector((s * 0.075, 0.04, 0.1)), spread * rng.uniform(0.6, 1.4)
        tip = root + Vector((s * lean, 0.07, long))
        face.append(_limb(paint, root, tip, 0.078, 0.5))
        front, inner = Vector((0, -0.026, 0)), (tip - root) * 0.14
        hard.append(_limb(pink, root + inner + front, tip - inner + front, 0.045, 0.4))
        cheek = _on(neck, radii, s * 17, -26, 0.93)
        hard.append(b.ball(white, cheek, (0.075, 0.06, 0.058)))
        hard += [
            b.tube(
                white, [cheek + Vector((s * 0.03, -0.045, 0)), cheek + Vector((s * 0.24, -0.03, z))], 0.004
            )
            for z in (-0.02, 0.03)
        ]
    hard.append(b.ball(pink, _on(neck, radii, 0, -8, 1.06), (0.034, 0.024, 0.026), segments=12))
    hard.append(b.box(white, _on(neck, radii, 0, -36, 1.08), (0.042, 0.014, 0.055), bevel=0.006))
    hard += _eyes(neck, radii, azimuth=42, height=12, size=0.042)
    _cover(look, [*soft, *face, tail], length=rng.uniform(0.018, 0.028), total=340, always=True)
    return [*soft, *face, tail, *hard]


def _webbed(paint: bpy.types.Material, heel: Vector, azimuth: float, long: float) -> Parts:
    """A frog's foot: three round-tipped toes fanned about `azimuth` (0 is -y), from the heel."""
    parts = []
    for spread in (-32, 0, 32):
        a = math.radians(azimuth + spread)
        tip = heel + Vector((math.sin(a), -math.cos(a), 0)) * long
        parts.append(_limb(paint, heel + Vector((0, 0, 0.03)), tip + Vector((0, 0, 0.025)), 0.035, 0.7))
        parts.append(b.ball(paint, tip + Vector((0, 0, 0.028)), (0.042, 0.042, 0.028), segments=12))
    return parts


def frog(rng: random.Random, look: b.Look) -> Parts:
    """A squatting frog: eyes that bulge on top, a mouth from side to side, folded hind legs."""
    paint, dark = look.paint(roughness=0.3), look.paint(0.55, roughness=0.3)
    pale = b.material(b.linear(rng.choice(("#f2ecc4", "#efe6d6", "#e9efc0"))), roughness=0.5)
    wide = rng.uniform(0.31, 0.36)
    head, radii = Vector((0, -0.14, 0.46)), Vector((wide, 0.27, 0.19))
    soft = [_limb(paint, (0, -0.28, 0.45), (0, 0.42, 0.12), wide * 0.92, 0.78), b.ball(paint, head, radii)]
    hard = [
        b.ball(pale, (0, -0.17, 0.29), (wide * 0.72, 0.21, 0.2)),
        b.ball(pale, head + Vector((0, -0.04, -0.06)), (wide * 0.88, 0.235, 0.135)),
    ]
    mouth = [
        _on(head, radii, a, -4 - 13 * math.cos(math.radians(a * 1.15)), 1.01) for a in range(-78, 79, 13)
    ]
    hard.append(b.tube(b.material((0.03, 0.008, 0.008)), mouth, 0.014))
    hard += _mirrored(lambda s: b.ball(dark, _on(head, radii, s * 9, 12, 1.0), 0.013, segments=8))
    iris = b.material(b.linear(rng.choice(("#f4d43a", "#f4f0e2", "#e88a20"))), roughness=0.1, coat=1.0)
    size, apart = rng.uniform(0.115, 0.135), rng.uniform(0.52, 0.6)
    for s in (-1, 1):
        eye = head + Vector((s * wide * apart, -0.02, 0.18))
        soft.append(b.ball(paint, eye, (size, size, size * 1.05)))
        hard.append(b.ball(iris, eye + Vector((s * 0.012, -size * 0.42, size * 0.12)), size * 0.74))
        pupil = eye + Vector((s * 0.018, -size * 1.04, size * 0.16))
        hard.append(b.ball(_black(), pupil, (size * 0.4, size * 0.2, size * 0.4), segments=16))
        hip, knee = Vector((s * wide * 0.75, 0.3, 0.14)), Vector((s * (wide + 0.12), -0.02, 0.36))
        soft.append(_limb(paint, hip - (knee - hip) * 0.1, knee + (knee - hip) * 0.16, 0.125))
        ankle = Vector((s * (wide + 0.06), 0.1, 0.05))
        soft.append(_limb(paint, knee + (knee - ankle) * 0.12, ankle, 0.08))
        soft += _webbed(paint, ankle, s * 18, 0.28)
        shoulder, hand = Vector((s * wide * 0.68, -0.2, 0.34)), Vector((s * wide * 0.62, -0.34, 0.0))
        soft.append(_limb(paint, shoulder, hand + Vector((0, 0.02, 0)), 0.07))
        soft += _webbed(paint, hand + Vector((0, 0.02, 0)), s * 14, 0.17)
    if rng.random() < 0.6:
        back = soft[0]
        for i in range(8):
            spot = _on((0, 0, 0), back.scale, (i - 3.5) * 22, 12 * (-1) ** i + 8)  # about its long axis
            at = back.location + back.rotation_euler.to_matrix() @ Vector((spot.x, spot.y, spot.z))
            hard.append(b.ball(dark, at, 0.035, segments=12))
    _cover(look, soft, length=0.035)
    return soft + hard


# Food -------------------------------------------------------------------------------------------------------


def pumpkin(rng: random.Random, look: b.Look) -> Parts:
    """A squashed, deeply ribbed pumpkin with a crooked stem, sometimes a leaf, sometimes a carved face."""
    ribs, wide, tall = rng.randint(9, 12), rng.uniform(0.47, 0.53), rng.uniform(0.32, 0.4)
    around, rows, spin = ribs * 16, 56, rng.uniform(0, TAU)
    deep = rng.uniform(0.16, 0.22)

    def surface(a: float, h: float) -> Vector:
        """The skin at azimuth `a` (0 is +x) and height angle `h`; it dips to the stem and to the ground."""
        furrow = 1 - deep * (1 - abs(math.sin((a - spin) * ribs / 2)) ** 0.7)
        r = wide * furrow * max(math.cos(h), 0.0) ** 0.75
        dip = tall * 0.3 * math.exp(-((r / wide / 0.3) ** 2))
        return Vector(
            (r * math.cos(a), r * math.sin(a), tall + math.sin(h) * (tall * (0.9 + 0.1 * furrow) - dip))
        )

    points = [
        surface(TAU * i / around, math.pi * (row / rows - 0.5))
        for row in range(rows + 1)
        for i in range(around)
    ]
    faces = [
        (
            row * around + i,
            row * around + (i + 1) % around,
            (row + 1) * around + (i + 1) % around,
            (row + 1) * around + i,
        )
        for row in range(rows)
        for i in range(around)
    ]
    skin = b.mesh(look.paint(roughness=0.4), points, faces, smooth=True)
    top = surface(0, math.pi / 2).z
    stalk = b.material(b.linear(rng.choice(("#5d6b2c", "#7a6a35", "#4d5a28"))), roughness=0.8)
    lean, long = rng.choice((-1, 1)) * rng.uniform(0.06, 0.13), rng.uniform(0.2, 0.28)
    stem = b.tube(
        stalk, [(0, 0, top - 0.05), (lean * 0.15, 0, top + long * 0.55), (lean, -0.02, top + long)], 0.055
    )
    for bezier, ratio in zip(stem.data.splines[0].bezier_points, (1.7, 0.85, 1.05), strict=True):
        bezier.radius = ratio
    parts = [skin, stem]
    if rng.random() < 0.6:
        green, side = b.material(b.linear("#3f8a2e"), roughness=0.7), -math.copysign(1, lean)
        leaf = [(0, 0), (0.07, 0.13), (0.17, 0.1), (0.27, 0.17), (0.27, 0.04), (0.36, -0.03), (0.2, -0.08)]
        at = (side * 0.03, -0.06, top + 0.04)
        parts.append(b.prism(green, [(side * x, z) for x, z in leaf], 0.02, at, (-30, side * 8, side * 10)))
    if rng.random() < 0.25 and look.finish != "furry":
        glow = b.material((1.0, 0.55, 0.08), emission=1.0) if rng.random() < 0.6 else _black()
        eyes, mouth = tall * 1.22, tall * 0.78

        def carved(p: Vector) -> bool:
            x, grin = abs(p.x), mouth + 1.6 * p.x**2
            eye = eyes < p.z < eyes + 0.13 - 1.5 * abs(x - 0.15)
            tooth = abs(x - 0.08) < 0.03 and p.z > grin
            return p.y < 0 and (eye or (x < 0.26 and abs(p.z - grin) < 0.06 - 0.12 * x and not tooth))

        _pattern(skin, glow, carved)
    look.cover(skin, length=0.04, count=320)
    return parts


def _tier(
    rng: random.Random, look: b.Look, icing: bpy.types.Material, low: float, r: float, tall: float
) -> tuple[bpy.types.Object, Parts]:
    """One round layer from `low` upwards: its painted side, and the icing that runs down from its top."""
    high = low + tall
    side = b.lathe(
        look.paint(roughness=0.55),
        [(0.001, low), (r, low), (r, high - 0.02), (r * 0.9, high), (0.001, high + 0.005)],
        sides=48,
    )
    edge = r + 0.012
    top = [
        (edge, high - 0.045),
        (edge + 0.012, high - 0.02),
        (r * 0.97, high + 0.025),
        (r * 0.66, high + 0.025),
        (r * 0.6, high),
    ]
    poured, count = [b.lathe(icing, top, sides=48)], round(r * 28)
    for i in range(count):
        a, long = TAU * (i + rng.uniform(-0.2, 0.2)) / count, tall * rng.uniform(0.08, 0.32)
        at = (edge * math.cos(a), edge * math.sin(a), high - 0.03 - long * 0.5)
        poured.append(b.ball(icing, at, (0.036, 0.036, long * 0.5 + 0.045), segments=12))
    return side, poured


def cake(rng: random.Random, look: b.Look) -> Parts:
    """A painted cake of one or two tiers on a plate: icing dripping from the rim, cherries, often candles."""
    icing = b.material(b.linear(rng.choice(("#fbf3e6", "#fbf3e6", "#4a2614", "#f6b9c8"))), roughness=0.3)
    cream, plate = (
        b.material(b.linear("#fff4e2"), roughness=0.5),
        b.material((0.8, 0.82, 0.85), roughness=0.15),
    )
    r, low = rng.uniform(0.4, 0.45), 0.07
    profile = [(0.001, 0.0), (0.2, 0.0), (0.22, 0.03), (r + 0.15, 0.06), (r + 0.15, 0.075), (0.001, 0.065)]
    parts = [b.lathe(plate, profile, sides=48)]
    tiers = [(r, rng.uniform(0.4, 0.48))]
    if rng.random() < 0.4:
        tiers = [(r, 0.32), (r * rng.uniform(0.58, 0.66), 0.28)]
    soft = []
    for radius, tall in tiers:
        side, poured = _tier(rng, look, icing, low, radius, tall)
        soft.append(side)
        parts += poured
        count = round(radius * 44)
        for i in range(count):
            a = TAU * i / count
            parts.append(
                b.ball(cream, (radius * math.cos(a), radius * math.sin(a), low + 0.03), 0.036, segments=12)
            )
        low += tall
    top, low = radius, low + 0.03
    cherry = b.material(b.linear("#c3122a"), roughness=0.12, coat=1.0)
    stalk, lit = b.material(b.linear("#4a6a24")), rng.random() < 0.6
    count = 6 if top < 0.35 else 8
    for i in range(count):
        a = TAU * (i + 0.5) / count
        at = Vector((top * 0.74 * math.cos(a), top * 0.74 * math.sin(a), low))
        parts.append(b.ball(cream, at, (0.062, 0.062, 0.04), segments=12))
        parts.append(b.ball(cherry, at + Vector((0, 0, 0.055)), 0.05, segments=16))
        if not lit:
            parts.append(b.tube(stalk, [at + Vector((0, 0, 0.1)), at + Vector((0.03, 0, 0.19))], 0.008))
    if lit:
        flame = b.material((1.0, 0.5, 0.08), emission=4.0)
        count = rng.choice((3, 4, 5))
        for i in range(count):
            a, wax = (
                TAU * i / count + 0.3,
                b.material(b.linear(rng.choice(("#f4c22a", "#3f8fd8", "#f5f2ea", "#e8577e")))),
            )
            at = Vector((top * 0.4 * math.cos(a), top * 0.4 * math.sin(a), low))
            parts.append(b.cone(wax, at + Vector((0, 0, 0.1)), 0.026, 0.026, 0.22))
            parts.append(b.ball(flame, at + Vector((0, 0, 0.26)), (0.026, 0.026, 0.055), segments=12))
    _cover(look, soft, length=0.03)
    return soft + parts


# Furniture --------------------------------------------------------------------------------------------------


def lamp(rng: random.Random, look: b.Look) -> Parts:
    """A table lamp, lit: a large painted conical shade on a pole over a fixed foot or a ceramic belly."""
    wide, narrow = rng.uniform(0.33, 0.39), rng.uniform(0.14, 0.21)
    low, tall = rng.uniform(0.48, 0.54), rng.uniform(0.38, 0.44)
    metal = rng.choice(
        (
            b.material(b.linear("#c99a45"), roughness=0.3, metallic=0.9),
            b.material((0.62, 0.63, 0.65), roughness=0.25, metallic=0.9),
            b.material((0.02, 0.02, 0.022), roughness=0.4),
        )
    )
    high = low + tall
    inside = b.material((1.0, 0.85, 0.6), emission=0.7)
    shade = b.lathe(look.paint(roughness=0.8, emission=0.05), [(wide, low), (narrow, high)], sides=48)
    parts = [
        b.lathe(inside, [(wide * 0.975, low + 0.004), (narrow * 0.96, high - 0.004)], sides=48),
        b.ring(look.paint(0.75, roughness=0.8), (0, 0, low), wide, 0.014),
        b.ring(look.paint(0.75, roughness=0.8), (0, 0, high), narrow, 0.012),
        b.ball(b.material((1.0, 0.85, 0.55), emission=5.0), (0, 0, low + 0.08), (0.075, 0.075, 0.1)),
        b.cone(metal, (0, 0, (high + 0.05) / 2), 0.026, 0.026, high + 0.03),
        b.ball(metal, (0, 0, high + 0.05), 0.036, segments=16),
        b.box(metal, (0, 0, high - 0.015), (narrow * 2, 0.014, 0.014)),
    ]
    foot = rng.choice(("disc", "belly", "steps"))
    if foot == "disc":
        r = rng.uniform(0.2, 0.25)
        parts.append(
            b.lathe(metal, [(0.001, 0), (r, 0), (r, 0.03), (r * 0.85, 0.055), (0.04, 0.1), (0.026, 0.16)])
        )
    elif foot == "belly":
        clay = b.material(b.linear(rng.choice(("#f3efe6", "#d8c9ae", "#8a5a3a"))), roughness=0.2, coat=0.6)
        profile = [
            (0.11, 0.0),
            (0.13, 0.03),
            (0.19, 0.12),
            (0.2, 0.19),
            (0.16, 0.28),
            (0.07, 0.36),
            (0.05, 0.4),
        ]
        parts.append(b.lathe(clay, [(0.001, 0.0), *profile, (0.001, 0.41)]))
    else:
        parts.append(
            b.lathe(metal, [(0.001, 0), (0.22, 0), (0.22, 0.04), (0.14, 0.05), (0.12, 0.1), (0.03, 0.12)])
        )
        parts += [
            b.ball(metal, (0, 0, z), (r, r, 0.045)) for z, r in ((0.2, 0.06), (0.3, 0.075), (0.4, 0.05))
        ]
    chain = b.tube(
        metal, [(wide * 0.45, -wide * 0.4, low + 0.1), (wide * 0.45, -wide * 0.4, low - 0.14)], 0.008
    )
    parts += [chain, b.ball(metal, (wide * 0.45, -wide * 0.4, low - 0.15), 0.022, segments=12)]
    _cover(look, [shade], length=0.04)
    return [shade, *parts]


KINDS: dict[str, Builder] = {
    "penguin": penguin,
    "rabbit": rabbit,
    "frog": frog,
    "pumpkin": pumpkin,
    "cake": cake,
    "lamp": lamp,
}
