"""Plush toys, animals and rounded things of the toybox; `KINDS` maps a caption's noun to what builds it."""

import math
import random
from collections.abc import Callable, Sequence

import blend as b
import bpy
from mathutils import Matrix, Vector

Parts = list[bpy.types.Object]
Builder = Callable[[random.Random, b.Look], Parts]

ACCENTS = ("#c3202b", "#1f4fb0", "#e8b21a", "#2a8a3c", "#7b2fa0", "#e06a1a", "#f2f2ee", "#1b1b20", "#2aa5a8")
TAU = 2 * math.pi


# Words shared by the builders -------------------------------------------------------------------------------


def _accent(rng: random.Random, **kwargs: float) -> bpy.types.Material:
    """A fixed colour for what a caption does not name: scarves, bows, collars."""
    return b.material(b.linear(rng.choice(ACCENTS)), **kwargs)


def _black() -> bpy.types.Material:
    return b.material((0.006, 0.005, 0.005), roughness=0.12, coat=1.0)


def _white() -> bpy.types.Material:
    return b.material((0.85, 0.84, 0.8))


def _wood() -> bpy.types.Material:
    return b.textured("NOISE", (0.07, 0.032, 0.014), (0.16, 0.08, 0.04), scale=9)


def _metal() -> bpy.types.Material:
    return b.material((0.72, 0.73, 0.75), roughness=0.25, metallic=1.0)


def _on(centre: b.Vec, radii: b.Vec, azimuth: float, height: float, out: float = 1.0) -> Vector:
    """The point of an ellipsoid seen from its centre at azimuth (0 is -y, 90 is +x) and height (degrees)."""
    a, h = math.radians(azimuth), math.radians(height)
    direction = Vector((math.sin(a) * math.cos(h), -math.cos(a) * math.cos(h), math.sin(h)))
    reach = sum((d / r) ** 2 for d, r in zip(direction, radii, strict=True)) ** -0.5
    return Vector(centre) + direction * reach * out


def _limb(
    paint: bpy.types.Material, start: b.Vec, end: b.Vec, thickness: float, flat: float = 1.0
) -> bpy.types.Object:
    """An ellipsoid whose poles are `start` and `end`; `flat` squeezes it along its second axis."""
    start, end = Vector(start), Vector(end)
    turn = [math.degrees(a) for a in (end - start).to_track_quat("Z", "Y").to_euler()]
    return b.ball(paint, (start + end) / 2, (thickness, thickness * flat, (end - start).length / 2), turn)


def _solid(tube: bpy.types.Object) -> bpy.types.Object:
    """The tube as a mesh, which can carry fur."""
    data = bpy.data.meshes.new_from_object(tube)
    made = bpy.data.objects.new("tube", data)
    bpy.context.collection.objects.link(made)
    bpy.data.objects.remove(tube)
    return made


def _cover(
    look: b.Look, parts: Parts, *, length: float = 0.05, total: int = 340, always: bool = False
) -> None:
    """Shares `total` parent hairs among the parts by area; scales are applied, so that hairs stay round."""
    if not (always or look.finish == "furry"):
        return
    for part in parts:
        part.data.transform(Matrix.Diagonal((*part.scale, 1)))
        part.scale = (1, 1, 1)
    areas = [sum(face.area for face in part.data.polygons) for part in parts]
    for seed, (part, area) in enumerate(zip(parts, areas, strict=True)):
        look.cover(
            part, length=length, count=max(6, round(total * area / sum(areas))), always=always, seed=seed
        )


def _pattern(
    made: bpy.types.Object, other: bpy.types.Material, where: Callable[[Vector], bool]
) -> bpy.types.Object:
    """Gives the faces whose middle (in the object's own coordinates) satisfies `where` the other material."""
    made.data.materials.append(other)
    for face in made.data.polygons:
        face.material_index = int(where(face.center))
    return made


def _mirrored(make: Callable[[int], bpy.types.Object]) -> Parts:
    return [make(-1), make(1)]


def _eyes(
    centre: b.Vec,
    radii: b.Vec,
    *,
    azimuth: float,
    height: float,
    size: float,
    iris: bpy.types.Material | None = None,
) -> Parts:
    """Two glossy eyes on a head, each with a glint, and a coloured iris where one is given."""
    parts = []
    glint = b.material((1, 1, 1), emission=0.8)
    for side in (-1, 1):
        at = _on(centre, radii, side * azimuth, height, 0.98)
        parts.append(b.ball(iris or _black(), at, size, segments=12))
        if iris:
            parts.append(
                b.ball(
                    _black(),
                    at + Vector((0, -size * 0.6, 0)),
                    (size * 0.5, size * 0.5, size * 0.8),
                    segments=12,
                )
            )
        parts.append(
            b.ball(glint, at + Vector((-size * 0.3, -size * 0.95, size * 0.4)), size * 0.25, segments=8)
        )
    return parts


def _bow(rng: random.Random, at: Vector, size: float) -> Parts:
    """A bow tie, facing -y."""
    cloth = _accent(rng, roughness=0.7)
    outline = [(0.1, 0.06), (1.0, 0.55), (1.1, 0.0), (1.0, -0.55), (0.1, -0.06)]
    wings = _mirrored(
        lambda side: b.prism(
            cloth,
            [(side * x * size, z * size) for x, z in outline][::side],
            0.3 * size,
            at,
            bevel=0.08 * size,
        )
    )
    return [*wings, b.ball(cloth, at, (0.2 * size, 0.24 * size, 0.22 * size), segments=12)]


def _scarf(rng: random.Random, at: Vector, radius: float, thickness: float) -> Parts:
    """A scarf about a neck, with one end hanging in front."""
    cloth = _accent(rng, roughness=0.9)
    side = rng.choice((-1, 1))
    ring = b.ring(cloth, at, radius, thickness)
    ring.scale.z = 1.2
    knot = at + Vector((side * radius * 0.35, -radius - thickness * 0.6, -thickness * 0.2))
    tail = b.box(
        cloth,
        knot + Vector((side * 0.01, -0.01, -2.1 * thickness)),
        (thickness * 1.9, thickness * 0.7, thickness * 4.2),
        (-12, side * 6, 0),
        bevel=thickness * 0.3,
    )
    return [ring, tail, b.ball(cloth, knot, thickness * 1.15, segments=12)]


# Plush toys -------------------------------------------------------------------------------------------------


def _plush_body(
    rng: random.Random, paint: bpy.types.Material, belly: bpy.types.Material | None, pad: bpy.types.Material
) -> tuple[Parts, Parts, Vector]:
    """Trunk, arms and legs of a plush toy, sitting or standing: furry parts, other parts, the neck."""
    wide, tall = rng.uniform(0.22, 0.29), rng.uniform(0.25, 0.31)
    limb = rng.uniform(0.085, 0.115)
    sitting = rng.random() < 0.6
    lift = tall - 0.02 if sitting else tall + rng.uniform(0.16, 0.24)
    radii, centre = (wide, wide * 0.88, tall), Vector((0, 0, lift))
    soft, hard = [b.ball(paint, centre, radii)], []
    if belly:
        soft.append(
            b.ball(
                belly,
                centre + Vector((0, -wide * 0.25, -tall * 0.08)),
                (wide * 0.74, wide * 0.75, tall * 0.76),
            )
        )
    raised = rng.choice((-1, 1, 0, 0))
    for side in (-1, 1):
        shoulder = centre + Vector((side * wide * 0.66, -0.02, tall * 0.68))
        if side == raised:
            hand = shoulder + Vector((side * rng.uniform(0.2, 0.26), -0.06, rng.uniform(0.1, 0.2)))
        else:
            hand = shoulder + Vector(
                (side * rng.uniform(0.1, 0.2), -rng.uniform(0.08, 0.2), -rng.uniform(0.26, 0.32))
            )
        soft.append(_limb(paint, shoulder, hand + (hand - shoulder) * 0.15, limb))
        if sitting:
            hip = Vector((side * wide * 0.55, -wide * 0.3, limb))
            foot = hip + Vector((side * rng.uniform(0.1, 0.18), -rng.uniform(0.3, 0.36), 0))
            soft.append(_limb(paint, hip, foot, limb * 1.05))
            radius = limb * 1.2
            sole = foot + Vector((0, 0.03, radius - limb))
            soft.append(b.ball(paint, sole, (radius, radius * 0.7, radius * 1.15)))
            hard.append(
                b.ball(
                    pad, sole + Vector((side * 0.01, -radius * 0.68, 0)), (radius * 0.66, 0.025, radius * 0.8)
                )
            )
        else:
            hip, foot = (
                centre + Vector((side * wide * 0.5, 0, -tall * 0.6)),
                Vector((side * wide * 0.62, 0, -0.02)),
            )
            soft.append(_limb(paint, hip + Vector((0, 0, 0.1)), foot, limb * 1.15))
            soft.append(b.ball(paint, (foot.x, -0.06, limb * 0.7), (limb * 1.1, limb * 1.6, limb * 0.75)))
    return soft, hard, centre + Vector((0, 0, tall * 0.9))


def _dress(rng: random.Random, neck: Vector, width: float) -> Parts:
    """A bow tie, a scarf or, most often, nothing."""
    choice = rng.random()
    if choice < 0.28:
        return _bow(rng, neck + Vector((0, -width - 0.07, -0.05)), 0.13)
    if choice < 0.5:
        return _scarf(rng, neck + Vector((0, 0, -0.02)), width, 0.06)
    return []


def teddy_bear(rng: random.Random, look: b.Look) -> Parts:
    """A furry bear with round ears and a muzzle of another shade."""
    coat, shade = rng.choice(((1.0, 0.38), (1.0, 0.52), (0.72, 1.2)))
    paint, second = look.paint(coat, roughness=0.9), look.paint(shade, roughness=0.9)
    cream = b.material(b.linear(rng.choice(("#ecdcc0", "#d9b98c"))), roughness=0.9)
    second, pad = rng.choice(((second, second), (second, cream), (cream, cream)))
    soft, hard, neck = _plush_body(
        rng, paint, rng.choice((second, None)) if second is not cream else None, pad
    )
    size = rng.uniform(0.22, 0.28)
    radii = Vector((size * rng.uniform(1.0, 1.12), size * 0.95, size * rng.uniform(0.9, 1.0)))
    head = neck + Vector((0, -0.03, radii.z * 0.82))
    soft.append(b.ball(paint, head, radii))
    ear = size * rng.uniform(0.34, 0.46)
    spread = rng.uniform(46, 56)
    for side in (-1, 1):
        at = _on(head, radii, side * 90, spread, 1.06)
        soft.append(b.ball(paint, at, (ear, ear * 0.55, ear), (0, side * 30, 0)))
        hard.append(
            b.ball(
                second,
                at + Vector((0, -ear * 0.36, 0)),
                (ear * 0.62, ear * 0.28, ear * 0.62),
                (0, side * 30, 0),
            )
        )
    snout = size * rng.uniform(0.46, 0.56)
    muzzle, reach = _on(head, radii, 0, -20, 0.98), Vector((snout * 1.12, snout * 0.9, snout * 0.88))
    hard.append(b.ball(second, muzzle, reach))
    nose = b.material(b.linear("#3a1d10"), roughness=0.3) if rng.random() < 0.3 else _black()
    hard.append(b.ball(nose, _on(muzzle, reach, 0, 35), (snout * 0.42, snout * 0.26, snout * 0.3)))
    low = _on(muzzle, reach, 0, -12, 1.01)
    hard.append(b.tube(nose, [_on(muzzle, reach, 0, 25, 1.01), low], 0.009))
    hard += _mirrored(
        lambda side: b.tube(
            nose,
            [low, _on(muzzle, reach, side * 20, -26, 1.02), _on(muzzle, reach, side * 40, -18, 1.02)],
            0.009,
        )
    )
    hard += _eyes(
        head,
        radii,
        azimuth=rng.uniform(24, 30),
        height=rng.uniform(12, 20),
        size=size * rng.uniform(0.13, 0.18),
    )
    _cover(look, soft, length=rng.uniform(0.025, 0.045), always=True)
    return soft + hard + _dress(rng, neck, size * 0.74)


def _rabbit_head(rng: random.Random, look: b.Look, neck: Vector) -> tuple[Parts, Parts]:
    paint, pink = look.paint(roughness=0.9), b.material(b.linear("#eaa0a8"), roughness=0.9)
    radii = Vector((0.21, 0.19, 0.2))
    head = neck + Vector((0, -0.03, 0.17))
    soft, hard = [b.ball(paint, head, radii)], []
    long, flop = rng.uniform(0.36, 0.46), rng.random() < 0.3
    for side in (-1, 1):
        root = head + Vector((side * 0.09, 0, 0.15))
        lean = rng.uniform(0.03, 0.13)
        tip = (
            head + Vector((side * 0.33, -0.06, 0.15 - long))
            if flop
            else root + Vector((side * lean, 0.02, long))
        )
        if flop:
            root += Vector((side * 0.06, 0, 0))
        soft.append(_limb(paint, root, tip, 0.075, 0.55))
        inner = (tip - root) * 0.1
        front = Vector((0, -0.032, 0))
        hard.append(_limb(pink, root + inner + front, tip - inner + front, 0.043, 0.4))
    cheeks = look.paint(1.2, roughness=0.9)
    hard += _mirrored(
        lambda side: b.ball(cheeks, _on(head, radii, side * 17, -24, 0.95), (0.075, 0.065, 0.06))
    )
    hard.append(b.ball(pink, _on(head, radii, 0, -8, 1.12), (0.034, 0.025, 0.025), segments=12))
    hard.append(b.box(_white(), _on(head, radii, 0, -38, 1.06), (0.045, 0.015, 0.05), bevel=0.006))
    return soft, hard + _eyes(head, radii, azimuth=33, height=12, size=0.033)


def _elephant_head(rng: random.Random, look: b.Look, neck: Vector) -> tuple[Parts, Parts]:
    paint, second = look.paint(roughness=0.9), look.paint(0.6, roughness=0.9)
    radii = Vector((0.22, 0.21, 0.22))
    head = neck + Vector((0, -0.04, 0.17))
    soft, hard = [b.ball(paint, head, radii)], []
    for side in (-1, 1):
        ear = head + Vector((side * 0.29, 0.04, 0.02))
        soft.append(b.ball(paint, ear, (0.19, 0.05, 0.22), (0, side * 8, side * 18)))
        hard.append(
            b.ball(
                second,
                ear + Vector((side * 0.005, -0.035, -0.005)),
                (0.14, 0.04, 0.165),
                (0, side * 8, side * 18),
            )
        )
    curl = rng.choice((-1, 1))
    path = [
        _on(head, radii, 0, -8, 0.8),
        _on(head, radii, 0, -20, 1.25) + Vector((0, -0.02, -0.04)),
        head + Vector((0.02 * curl, -0.34, -0.28)),
        head + Vector((0.08 * curl, -0.45, -0.26)),
    ]
    for i in range(13):
        k = min(int(i / 12 * 3), 2)
        point = path[k].lerp(path[k + 1], i / 12 * 3 - k)
        soft.append(b.ball(paint, point, 0.09 - 0.04 * i / 12, segments=12))
    hard += _mirrored(
        lambda side: _limb(
            _white(), _on(head, radii, side * 27, -28, 0.9), _on(head, radii, side * 30, -34, 1.35), 0.026
        )
    )
    return soft, hard + _eyes(head, radii, azimuth=34, height=12, size=0.034)


def _lion_head(rng: random.Random, look: b.Look, neck: Vector) -> tuple[Parts, Parts]:
    paint, mane = look.paint(roughness=0.9), look.paint(rng.choice((0.45, 0.6)), roughness=0.9)
    radii = Vector((0.2, 0.17, 0.19))
    head = neck + Vector((0, -0.05, 0.16))
    soft, hard = [b.ball(paint, head, radii)], []
    for i in range(12):
        a = TAU * i / 12
        soft.append(
            b.ball(
                mane,
                head + Vector((0.23 * math.cos(a), 0.07, 0.23 * math.sin(a))),
                (0.095, 0.12, 0.095),
                segments=12,
            )
        )
    hard += _mirrored(
        lambda side: b.ball(paint, head + Vector((side * 0.19, -0.02, 0.22)), (0.065, 0.04, 0.065))
    )
    hard += _mirrored(
        lambda side: b.ball(_white(), _on(head, radii, side * 17, -20, 0.95), (0.075, 0.07, 0.06))
    )
    hard.append(b.ball(_black(), _on(head, radii, 0, 0, 1.15), (0.045, 0.03, 0.033), segments=12))
    return soft, hard + _eyes(head, radii, azimuth=30, height=20, size=0.032)


def _sheep(rng: random.Random, look: b.Look) -> Parts:
    """A standing sheep: a painted cloud of wool on four legs."""
    wool = look.paint(roughness=0.95)
    skin = b.material(b.linear(rng.choice(("#2c2422", "#e6c7a8", "#4a3a33"))), roughness=0.9)
    soft = [b.ball(wool, (0, 0, 0.5), (0.27, 0.36, 0.25))]
    for i in range(34):
        azimuth, height = i * 137.5, math.degrees(math.asin(1 - 2 * (i + 0.5) / 34))
        soft.append(
            b.ball(
                wool,
                _on((0, 0, 0.5), (0.26, 0.36, 0.24), azimuth, height),
                rng.uniform(0.085, 0.115),
                segments=12,
            )
        )
    hard = [_limb(skin, (x, y, 0.4), (x, y, -0.03), 0.06) for x in (-0.15, 0.15) for y in (-0.2, 0.22)]
    head, radii = Vector((0, -0.46, 0.66)), Vector((0.13, 0.16, 0.17))
    hard.append(b.ball(skin, head, radii, (-25, 0, 0)))
    soft += [b.ball(wool, head + Vector((x, 0.02, 0.15)), 0.075, segments=12) for x in (-0.07, 0, 0.07)]
    hard += _mirrored(
        lambda side: _limb(
            skin,
            head + Vector((side * 0.09, 0.02, 0.08)),
            head + Vector((side * 0.25, 0.02, 0.02)),
            0.05,
            0.5,
        )
    )
    for side in (-1, 1):
        eye = _on(head, radii, side * 30, 18)
        hard.append(b.ball(_white(), eye, 0.036, segments=12))
        hard.append(b.ball(_black(), eye + Vector((0, -0.022, 0)), 0.02, segments=12))
    hard.append(
        b.ball(
            b.material(b.linear("#d98d92")), _on(head, radii, 0, -22, 1.08), (0.035, 0.02, 0.02), segments=12
        )
    )
    _cover(look, soft, length=0.03, total=260, always=True)
    return soft + hard


def stuffed_animal(rng: random.Random, look: b.Look) -> Parts:
    """A plush rabbit, elephant, lion or sheep."""
    make_head = rng.choice((_rabbit_head, _elephant_head, _lion_head, None))
    if make_head is None:
        return _sheep(rng, look)
    paint = look.paint(roughness=0.9)
    belly = look.paint(rng.choice((0.7, 1.2)), roughness=0.9)
    pad = b.material(b.linear(rng.choice(("#e9b3b3", "#e8d9c0", "#d9b98c"))), roughness=0.9)
    soft, hard, neck = _plush_body(rng, paint, rng.choice((belly, None)), pad)
    more_soft, more_hard = make_head(rng, look, neck)
    soft += more_soft
    _cover(look, soft, length=rng.uniform(0.02, 0.035), always=True)
    dress = _dress(rng, neck, 0.16) if make_head is _rabbit_head else []
    return soft + hard + more_hard + dress


# Animals ----------------------------------------------------------------------------------------------------


def _stance(
    rng: random.Random,
    paint: bpy.types.Material,
    socks: bpy.types.Material,
    chest: bpy.types.Material,
    slim: float,
) -> tuple[Parts, Vector, Vector]:
    """Trunk and legs of a cat or dog, sitting or standing: its parts, the neck, the tail's root."""
    w = 0.17 * slim
    if rng.random() < 0.6:
        parts = [
            _limb(paint, (0, 0.3, 0.02), (0, -0.16, 0.66), w * 1.25),
            b.ball(paint, (0, 0.12, 0.2), (w * 1.3, 0.25, 0.2)),
        ]
        parts += [b.ball(paint, (s * w * 1.15, 0.08, 0.16), (w * 0.6, 0.2, 0.16)) for s in (-1, 1)]
        parts += [b.ball(socks, (s * w * 1.25, -0.14, 0.04), (0.06, 0.1, 0.045)) for s in (-1, 1)]
        parts += [_limb(paint, (s * 0.085, -0.12, 0.5), (s * 0.09, -0.2, 0.0), 0.06) for s in (-1, 1)]
        parts += [b.ball(socks, (s * 0.09, -0.24, 0.04), (0.06, 0.09, 0.045)) for s in (-1, 1)]
        parts.append(b.ball(chest, (0, -0.14, 0.46), (w * 0.8, 0.13, 0.17)))
        return parts, Vector((0, -0.13, 0.62)), Vector((0, 0.3, 0.08))
    parts = [_limb(paint, (0, -0.4, 0.5), (0, 0.4, 0.46), w), b.ball(paint, (0, -0.25, 0.48), (w, 0.18, 0.2))]
    parts += [
        _limb(paint, (s * w * 0.6, y, 0.52), (s * w * 0.65, y, 0.0), 0.068)
        for s in (-1, 1)
        for y in (-0.26, 0.27)
    ]
    parts += [
        b.ball(socks, (s * w * 0.65, y - 0.04, 0.04), (0.06, 0.085, 0.045))
        for s in (-1, 1)
        for y in (-0.26, 0.27)
    ]
    parts.append(_limb(paint, (0, -0.2, 0.45), (0, -0.44, 0.74), 0.12))
    parts.append(b.ball(chest, (0, -0.36, 0.48), (w * 0.6, 0.09, 0.13)))
    return parts, Vector((0, -0.38, 0.66)), Vector((0, 0.36, 0.52))


def _collar(rng: random.Random, neck: Vector, radius: float) -> Parts:
    """A collar with a golden tag."""
    tag = b.material(b.linear("#e0b030"), roughness=0.25, metallic=1.0)
    return [
        b.ring(_accent(rng), neck, radius, 0.026, (18, 0, 0)),
        b.ball(tag, neck + Vector((0, -radius - 0.03, -0.08)), (0.032, 0.02, 0.032), segments=12),
    ]


def _ear(
    paint: bpy.types.Material, at: Vector, side: int, size: float, height: float, depth: float
) -> bpy.types.Object:
    """A pointed ear."""
    outline = [
        (-size, 0),
        (size, 0),
        (size * 0.62, height * 0.55),
        (0, height),
        (-size * 0.62, height * 0.55),
    ]
    return b.prism(paint, outline, depth, at, (0, side * 20, side * 15), bevel=depth * 0.3)


def cat(rng: random.Random, look: b.Look) -> Parts:
    """A sitting or standing cat."""
    paint = look.paint(roughness=0.8)
    white = _white() if rng.random() < 0.6 else paint
    soft, neck, rump = _stance(rng, paint, white, white, rng.uniform(0.9, 1.12))
    radii = Vector((0.215, 0.18, 0.18)) * rng.uniform(0.95, 1.1)
    head = neck + Vector((0, -0.04, 0.17))
    soft.append(b.ball(paint, head, radii))
    pink, hard = b.material(b.linear("#e59aa0"), roughness=0.7), []
    tall = rng.uniform(0.17, 0.22)
    for side in (-1, 1):
        at = head + Vector((side * 0.13, 0.0, radii.z * 0.62))
        soft.append(_ear(paint, at, side, 0.085, tall, 0.05))
        hard.append(_ear(pink, at + Vector((0, -0.024, 0.015)), side, 0.05, tall * 0.72, 0.02))
        cheek = _on(head, radii, side * 15, -24, 0.97)
        hard.append(b.ball(white, cheek, (0.062, 0.05, 0.048)))
        whisker = b.material((0.8, 0.8, 0.8))
        hard += [
            b.tube(
                whisker,
                [cheek + Vector((side * 0.03, -0.04, 0)), cheek + Vector((side * 0.22, -0.04, z))],
                0.004,
            )
            for z in (-0.03, 0.01, 0.05)
        ]
    hard.append(b.ball(pink, _on(head, radii, 0, -10, 1.14), (0.03, 0.022, 0.022), segments=12))
    iris = b.material(b.linear(rng.choice(("#8fc241", "#e0b62c", "#6db7d8"))), roughness=0.1, coat=1.0)
    hard += _eyes(head, radii, azimuth=28, height=10, size=0.046, iris=iris)
    s = rng.choice((-1, 1))
    if rump.z < 0.3:
        tail = [rump, (s * 0.25, 0.34, 0.06), (s * 0.38, 0.08, 0.05), (s * 0.3, -0.16, 0.05)]
        tail = (
            tail
            if rng.random() < 0.6
            else [rump, (s * 0.2, 0.42, 0.1), (s * 0.32, 0.4, 0.4), (s * 0.22, 0.4, 0.6)]
        )
    else:
        tail = [rump, (s * 0.06, 0.52, 0.66), (s * 0.12, 0.5, 0.9), (s * 0.2, 0.46, 1.05)]
    soft.append(_solid(b.tube(paint, tail, 0.045)))
    _cover(look, soft, length=rng.uniform(0.018, 0.03), total=300, always=True)
    return soft + hard + (_collar(rng, neck + Vector((0, -0.02, 0.0)), 0.135) if rng.random() < 0.4 else [])


def dog(rng: random.Random, look: b.Look) -> Parts:
    """A sitting or standing dog with a long snout, and ears that hang or stand."""
    paint = look.paint(roughness=0.8)
    patch = rng.choice((paint, look.paint(0.5, roughness=0.8), _white()))
    soft, neck, rump = _stance(rng, paint, patch, patch, rng.uniform(1.0, 1.25))
    radii = Vector((0.175, 0.18, 0.17)) * rng.uniform(1.0, 1.12)
    head = neck + Vector((0, -0.06, 0.17))
    soft.append(b.ball(paint, head, radii))
    long = rng.uniform(0.18, 0.27)
    tip = head + Vector((0, -radii.y * 0.7 - long, -0.075))
    soft.append(_limb(patch, head + Vector((0, -0.02, -0.03)), tip, 0.092, 0.9))
    hard = [b.ball(_black(), tip + Vector((0, 0.012, 0.045)), (0.05, 0.035, 0.04), segments=16)]
    if rng.random() < 0.6:
        tongue = b.material(b.linear("#e0606c"), roughness=0.4)
        hard.append(
            b.ball(tongue, tip + Vector((0.01, 0.05, -0.085)), (0.04, 0.03, 0.075), (-15, 0, 0), segments=12)
        )
    ears = look.paint(rng.choice((0.45, 0.6)), roughness=0.8)
    hanging = rng.random() < 0.75
    for side in (-1, 1):
        if hanging:
            root = head + Vector((side * radii.x * 0.72, 0.01, radii.z * 0.75))
            soft.append(
                _limb(ears, root, root + Vector((side * 0.12, -0.03, -rng.uniform(0.26, 0.34))), 0.04, 2.2)
            )
        else:
            soft.append(_ear(ears, head + Vector((side * 0.11, 0.03, radii.z * 0.66)), side, 0.07, 0.2, 0.06))
    hard += _eyes(head, radii, azimuth=30, height=22, size=0.034)
    swing = rng.uniform(-0.2, 0.2)
    end = rump + Vector((swing, 0.16, 0.3))
    soft.append(_limb(paint, rump + Vector((0, -0.05, -0.03)), end, 0.05))
    _cover(look, soft, length=rng.uniform(0.02, 0.04), total=300, always=True)
    return soft + hard + (_collar(rng, neck + Vector((0, -0.01, 0.02)), 0.135) if rng.random() < 0.65 else [])


def duck(rng: random.Random, look: b.Look) -> Parts:
    """A bath duck with an orange beak."""
    paint, wing = look.paint(roughness=0.3), look.paint(0.85, roughness=0.3)
    long = rng.uniform(0.4, 0.48)
    soft = [
        b.ball(paint, (0, 0, 0.27), (0.34, long, 0.28)),
        _limb(paint, (0, long * 0.4, 0.24), (0, long * 1.2, 0.62), 0.15, 0.8),
        b.ball(paint, (0, -long * 0.45, 0.44), (0.2, 0.2, 0.22)),
    ]
    size = rng.uniform(0.22, 0.27)
    head = Vector((0, -long * 0.5, 0.54 + size * 0.72))
    radii = Vector((size, size, size * 0.96))
    soft.append(b.ball(paint, head, radii))
    soft += _mirrored(
        lambda side: b.ball(wing, (side * 0.31, 0.07, 0.33), (0.07, 0.25, 0.15), (22, 0, side * -6))
    )
    orange = b.material(b.linear("#f07818"), roughness=0.3)
    beak = _on(head, radii, 0, -10, 0.98)
    hard = [
        b.ball(orange, beak + Vector((0, -0.05, 0.022)), (0.1, 0.12, 0.035), (-10, 0, 0)),
        b.ball(orange, beak + Vector((0, -0.035, -0.03)), (0.085, 0.1, 0.03), (6, 0, 0)),
    ]
    for side in (-1, 1):
        eye = _on(head, radii, side * 34, 20, 0.96)
        hard.append(b.ball(_white(), eye, 0.05, segments=16))
        hard.append(b.ball(_black(), eye + Vector((side * 0.01, -0.028, 0)), 0.032, segments=12))
    if rng.random() < 0.3:
        hard += _bow(rng, Vector((0, -long * 0.5 - 0.21, 0.47)), 0.11)
    _cover(look, soft)
    return soft + hard


# Figures ----------------------------------------------------------------------------------------------------


def robot(rng: random.Random, look: b.Look) -> Parts:
    """A tin robot: painted head, trunk and feet, metal limbs, glowing eyes, dials on the chest."""
    paint, metal, dark = look.paint(roughness=0.35), _metal(), b.material((0.02, 0.02, 0.025), roughness=0.3)
    glow = b.material(b.linear(rng.choice(("#40e0ff", "#ffd040", "#ff5040", "#70ff60"))), emission=2.5)
    wide, tall = rng.uniform(0.38, 0.5), rng.uniform(0.36, 0.46)
    hip = rng.uniform(0.2, 0.28)
    trunk = hip + tall / 2
    parts = [
        b.box(paint, (0, 0, trunk), (wide, 0.3, tall), bevel=0.035)
        if rng.random() < 0.7
        else b.cone(paint, (0, 0, trunk), wide * 0.46, wide * 0.52, tall)
    ]
    front = -0.15 if len(parts[0].data.polygons) == 6 else -wide * 0.49
    head_wide, head_tall = wide * rng.uniform(0.62, 0.85), rng.uniform(0.22, 0.28)
    top = hip + tall + 0.06
    head = Vector((0, 0, top + head_tall / 2))
    if rng.random() < 0.7:
        parts.append(b.box(paint, head, (head_wide, 0.26, head_tall), bevel=0.035))
        face = -0.13
    else:
        parts.append(b.ball(paint, head, (head_wide / 2, 0.18, head_tall * 0.58)))
        face = -0.15
    soft = list(parts)
    parts.append(b.cone(metal, (0, 0, top - 0.02), 0.08, 0.08, 0.12))
    for side in (-1, 1):
        parts.append(
            b.cone(dark, (side * head_wide * 0.24, face, head.z + 0.02), 0.062, 0.062, 0.04, (90, 0, 0))
        )
        parts.append(
            b.ball(glow, (side * head_wide * 0.24, face - 0.015, head.z + 0.02), (0.045, 0.03, 0.045))
        )
        parts.append(b.cone(metal, (side * head_wide * 0.53, 0, head.z), 0.05, 0.05, 0.06, (0, 90, 0)))
    parts.append(b.box(dark, (0, face - 0.005, head.z - head_tall * 0.28), (head_wide * 0.5, 0.03, 0.035)))
    if rng.random() < 0.8:
        parts.append(b.tube(metal, [head, head + Vector((0, 0, head_tall / 2 + 0.13))], 0.014))
        parts.append(b.ball(glow, head + Vector((0, 0, head_tall / 2 + 0.15)), 0.038))
    parts += _robot_chest(rng, Vector((0, front, trunk)), wide, tall)
    raised = rng.choice((-1, 1, 0))
    for side in (-1, 1):
        shoulder = Vector((side * (wide / 2 + 0.03), 0, hip + tall - 0.08))
        hand = shoulder + (
            Vector((side * 0.16, -0.06, 0.2)) if side == raised else Vector((side * 0.1, -0.1, -0.27))
        )
        elbow = (shoulder + hand) / 2 + Vector((side * 0.06, 0.02, 0))
        parts.append(b.ball(paint, shoulder, 0.075))
        parts.append(b.tube(metal, [shoulder, elbow, hand], 0.038))
        grip = 1 if side == raised else -1
        parts.append(b.ball(paint, hand, 0.062))
        parts += [
            b.tube(
                metal,
                [
                    hand + Vector((x * 0.03, 0, grip * 0.03)),
                    hand + Vector((x * 0.075, 0, grip * 0.08)),
                    hand + Vector((x * 0.04, 0, grip * 0.13)),
                ],
                0.018,
            )
            for x in (-1, 1)
        ]
        leg = Vector((side * wide * 0.27, 0, hip))
        parts.append(b.cone(metal, (leg.x, 0, hip / 2 + 0.03), 0.055, 0.055, hip))
        parts.append(b.box(paint, (leg.x, -0.05, 0.05), (wide * 0.42, 0.3, 0.1), bevel=0.03))
    _cover(look, soft, length=0.04)
    return parts


def _robot_chest(rng: random.Random, at: Vector, wide: float, tall: float) -> Parts:
    """A panel with lamps, and a gauge or a grille."""
    light = b.material((0.75, 0.76, 0.78), roughness=0.4)
    dark = b.material((0.03, 0.03, 0.04), roughness=0.4)
    parts = [b.box(light, at + Vector((0, 0, tall * 0.06)), (wide * 0.6, 0.03, tall * 0.5), bevel=0.01)]
    for i, colour in enumerate(rng.sample(("#e02020", "#f0c020", "#20b040", "#2060e0"), 3)):
        lit = b.material(b.linear(colour), roughness=0.2, emission=0.6)
        parts.append(
            b.ball(
                lit,
                at + Vector(((i - 1) * wide * 0.18, -0.02, tall * 0.18)),
                (0.032, 0.02, 0.032),
                segments=12,
            )
        )
    if rng.random() < 0.5:
        parts.append(b.cone(dark, at + Vector((0, -0.015, -tall * 0.06)), 0.055, 0.055, 0.02, (90, 0, 0)))
    else:
        parts += [
            b.box(dark, at + Vector((0, -0.015, tall * (0.0 - 0.05 * i))), (wide * 0.45, 0.02, 0.014))
            for i in range(3)
        ]
    return parts


def snowman(rng: random.Random, look: b.Look) -> Parts:
    """Two or three painted snow balls, a carrot nose, coal eyes and buttons, a hat, a scarf."""
    paint, coal = look.paint(roughness=0.8), b.material((0.012, 0.012, 0.013), roughness=0.7)
    sizes = [0.29, 0.22, 0.16] if rng.random() < 0.7 else [0.34, 0.22]
    sizes = [r * rng.uniform(0.93, 1.07) for r in sizes]
    soft, hard, top = [], [], 0.0
    for i, r in enumerate(sizes):
        centre = Vector((0, 0, (top - 0.25 * r if i else top) + r * 0.92))
        soft.append(b.ball(paint, centre, (r, r, r * 0.95)))
        top = centre.z + r * 0.9
        if 0 < i < len(sizes) - 1 or (len(sizes) == 2 and i == 0):
            hard += [
                b.ball(coal, _on(centre, (r, r, r * 0.95), 0, h), 0.03, segments=12) for h in (35, 8, -18)
            ]
            shoulder = centre
            width = r
    head, r = centre, sizes[-1]
    hard += _mirrored(lambda side: b.ball(coal, _on(head, (r, r, r), side * 24, 22), 0.03, segments=12))
    hard += [
        b.ball(coal, _on(head, (r, r, r), a, -30 + abs(a) * 0.35), 0.016, segments=8)
        for a in (-32, -16, 0, 16, 32)
    ]
    carrot = b.material(b.linear("#f07a1c"), roughness=0.6)
    long = rng.uniform(0.17, 0.24)
    hard.append(
        b.cone(
            carrot, head + Vector((0, -r - long * 0.42, 0)), 0.045, 0.005, long, (90, 0, rng.uniform(-12, 12))
        )
    )
    wood = _wood()
    for side in (-1, 1):
        root = shoulder + Vector((side * width * 0.9, 0, 0.06))
        end = root + Vector((side * 0.27, -0.05, rng.uniform(0.02, 0.2)))
        hard.append(b.tube(wood, [root, end], 0.017))
        hard += [
            b.tube(wood, [end.lerp(root, 0.2), end + Vector((side * 0.06, 0, z))], 0.011)
            for z in (0.09, -0.05)
        ]
    if rng.random() < 0.75:
        hard += _hat(rng, head + Vector((0, 0, r * 0.72)), r)
    if rng.random() < 0.75:
        hard += _scarf(rng, head + Vector((0, 0, -r * 0.78)), r * 0.82, 0.048)
    _cover(look, soft)
    return soft + hard


def _hat(rng: random.Random, at: Vector, r: float) -> Parts:
    """A top hat with a band, or a bobble hat."""
    if rng.random() < 0.6:
        felt = b.material((0.015, 0.015, 0.018), roughness=0.7)
        return [
            b.cone(felt, at, r * 1.15, r * 1.15, 0.03),
            b.cone(felt, at + Vector((0, 0, 0.1)), r * 0.72, r * 0.78, 0.2),
            b.cone(_accent(rng), at + Vector((0, 0, 0.045)), r * 0.745, r * 0.75, 0.05),
        ]
    wool = _accent(rng, roughness=0.9)
    return [
        b.ball(wool, at, (r * 0.82, r * 0.82, r * 0.85)),
        b.ring(_white(), at, r * 0.74, 0.04),
        b.ball(_white(), at + Vector((0, 0, r * 0.95)), 0.06),
    ]


# Plants -----------------------------------------------------------------------------------------------------


def mushroom(rng: random.Random, look: b.Look) -> Parts:
    """A toadstool with a painted cap and white dots."""
    wide, tall = rng.uniform(0.4, 0.52), rng.uniform(0.26, 0.44)
    stem_tall = rng.uniform(0.36, 0.52)
    stem = b.material(b.linear("#efe6d2"), roughness=0.8)
    thick = rng.uniform(0.11, 0.16)
    parts = [
        b.lathe(
            stem,
            [
                (0.001, 0),
                (thick * 1.35, 0),
                (thick * 1.4, 0.06),
                (thick, stem_tall * 0.45),
                (thick * 0.9, stem_tall + 0.05),
            ],
        ),
        b.lathe(
            stem,
            [
                (thick * 0.9, stem_tall * 0.72),
                (thick * 1.55, stem_tall * 0.56),
                (thick * 0.95, stem_tall * 0.76),
            ],
        ),
    ]
    gills = b.material(b.linear("#d9c7a4"), roughness=0.9)
    parts.append(b.lathe(gills, [(thick * 0.8, stem_tall + 0.05), (wide * 0.94, stem_tall - 0.02)]))
    flare = rng.uniform(0.75, 1.0)
    profile = [
        (wide * math.cos(a), stem_tall - 0.02 + tall * math.sin(a) ** flare)
        for a in (TAU / 4 * i / 12 for i in range(13))
    ]
    cap = b.lathe(
        look.paint(roughness=0.35), [(wide * 0.93, stem_tall - 0.03), (wide, stem_tall - 0.03), *profile]
    )
    white = _white()
    count, spin = rng.randint(13, 18), rng.uniform(0, 360)
    for i in range(count):
        azimuth, height = spin + i * 137.5, 78 - 66 * i / count
        a = math.radians(height)
        reach, z = wide * math.cos(a), stem_tall - 0.02 + tall * math.sin(a) ** flare
        size = rng.uniform(0.035, 0.07)
        dot = b.ball(
            white,
            (reach * math.sin(math.radians(azimuth)), -reach * math.cos(math.radians(azimuth)), z),
            (size, size, 0.02),
            segments=12,
        )
        normal = Vector(
            (dot.location.x / wide**2, dot.location.y / wide**2, (z - stem_tall + 0.02) / tall**2)
        )
        dot.rotation_euler = normal.to_track_quat("Z", "Y").to_euler()
        parts.append(dot)
    _cover(look, [cap])
    return [cap, *parts]


def _leaves(
    rng: random.Random, paint: bpy.types.Material, centres: Sequence[tuple[Vector, float]], each: int
) -> bpy.types.Object:
    """Small leaves standing off the surfaces of balls, in one mesh."""
    vertices, faces = [], []
    for centre, radius in centres:
        for _ in range(each):
            out = Vector([rng.gauss(0, 1) for _ in range(3)]).normalized()
            side = out.cross(Vector([rng.gauss(0, 1) for _ in range(3)])).normalized() * 0.024
            root = centre + out * radius * 0.96
            tip = root + out * 0.03 + out.cross(side).normalized() * 0.06
            n = len(vertices)
            middle = (root + tip) / 2 + out * 0.012
            vertices += [root, middle + side, tip, middle - side]
            faces.append((n, n + 1, n + 2, n + 3))
    return b.mesh(paint, vertices, faces)


def tree(rng: random.Random, look: b.Look) -> Parts:
    """A tree with a painted crown: a broad one of leaves, a slender one, or a conifer."""
    paints = [look.paint(shade, roughness=0.8) for shade in (1.0, 0.8, 0.62)]
    bark = _wood()
    if rng.random() < 0.35:
        return _conifer(rng, look, paints, bark)
    slender = rng.random() < 0.35
    wide, tall = (0.2, 0.38) if slender else (rng.uniform(0.3, 0.36), rng.uniform(0.26, 0.31))
    trunk = rng.uniform(0.26, 0.36)
    centre = Vector((0, 0, trunk + tall * 0.85))
    hard = [b.cone(bark, (0, 0, centre.z / 2), 0.075, 0.045, centre.z)]
    if not slender:
        hard += [
            b.tube(
                bark,
                [(0, 0, trunk * 0.75), (s * 0.12, -0.04 * s, trunk), (s * 0.2, -0.06 * s, trunk + 0.14)],
                0.025,
            )
            for s in (-1, 1)
        ]
    count = 18
    clumps = []
    for i in range(count):
        at = _on(
            centre,
            (wide, wide, tall),
            i * 137.5 + rng.uniform(-15, 15),
            math.degrees(math.asin(1 - 2 * (i + 0.5) / count)),
            rng.uniform(0.68, 0.85),
        )
        clumps.append((at, rng.uniform(0.11, 0.15)))
    soft = [b.ball(paints[2], centre, (wide * 0.8, wide * 0.8, tall * 0.8))]
    soft += [b.ball(rng.choice(paints[:2]), at, r, segments=12) for at, r in clumps]
    hard.append(_leaves(rng, paints[0], clumps, 45))
    hard.append(_leaves(rng, paints[2], clumps, 25))
    _cover(look, soft)
    return soft + hard


def _conifer(
    rng: random.Random, look: b.Look, paints: Sequence[bpy.types.Material], bark: bpy.types.Material
) -> Parts:
    """Tiers of drooping, jagged skirts about a trunk."""
    hard, soft = [b.cone(bark, (0, 0, 0.15), 0.06, 0.05, 0.3)], []
    tiers, wide = rng.randint(4, 6), rng.uniform(0.28, 0.36)
    for i in range(tiers):
        share = i / tiers
        low, radius, n = 0.17 + 0.76 * share, wide * (1 - share * 0.8), 26
        high = low + 0.76 / tiers * 1.75
        ring = [
            (radius * (1.0 if k % 2 else 0.8), low - (0.03 if k % 2 else -0.02), TAU * (k + 0.4 * i) / n)
            for k in range(n)
        ]
        vertices = [
            (0, 0, min(high, 1.05)),
            *((r * math.cos(a), r * math.sin(a), z) for r, z, a in ring),
            (0, 0, low + 0.07),
        ]
        faces = [(0, 1 + k, 1 + (k + 1) % n) for k in range(n)] + [
            (n + 1, 1 + (k + 1) % n, 1 + k) for k in range(n)
        ]
        soft.append(b.mesh(paints[i % 2], vertices, faces))
    _cover(look, soft)
    return soft + hard


# Round things -----------------------------------------------------------------------------------------------


def ball(rng: random.Random, look: b.Look) -> Parts:
    """A beach ball, a striped ball, a football, or a basketball with its seams."""
    paint, white = look.paint(roughness=0.35), _white()
    made = b.ball(paint, (0, 0, 0), 0.5, segments=128)
    made.rotation_euler = [
        rng.uniform(0.2, 0.6) * rng.choice((-1, 1)),
        rng.uniform(-0.5, 0.5),
        rng.uniform(0, TAU),
    ]
    style, parts = rng.choice(("beach", "stripes", "football", "basketball")), [made]
    if style == "beach":
        half = rng.choice((4, 5))
        _pattern(made, white, lambda p: (math.atan2(p.y, p.x) / TAU * half) % 1 < 0.36 or abs(p.z) > 0.97)
    elif style == "stripes":
        low, high = sorted((rng.uniform(0.0, 0.2), rng.uniform(0.32, 0.5)))
        _pattern(made, white, lambda p: low < abs(p.z) < high)
    elif style == "football":
        golden = (1 + 5**0.5) / 2
        axes = [
            Vector(v).normalized()
            for s in (-1, 1)
            for t in (-golden, golden)
            for v in ((0, s, t), (s, t, 0), (t, 0, s))
        ]
        dark = rng.choice((white, _black()))
        _pattern(
            made, dark, lambda p: max(p.normalized().dot(axis) for axis in axes) > math.cos(math.radians(19))
        )
    else:
        seam = b.material((0.01, 0.01, 0.01), roughness=0.6)
        for turn in ((0, 0), (math.pi / 2, 0), (0, math.pi / 2)):
            ring = b.ring(seam, (0, 0, 0), 0.497, 0.011)
            ring.rotation_euler = (
                made.rotation_euler.to_matrix()
                @ Matrix.Rotation(turn[0], 3, "X")
                @ Matrix.Rotation(turn[1], 3, "Y")
            ).to_euler()
            parts.append(ring)
    _cover(look, [made])
    return parts


def _spline(points: Sequence[tuple[float, float]], steps: int = 8) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through the points."""
    ends = [points[0], *points, points[-1]]
    curve = []
    for i in range(1, len(ends) - 2):
        p = [Vector(q) for q in ends[i - 1 : i + 3]]
        for t in (k / steps for k in range(steps)):
            q = 0.5 * (
                2 * p[1]
                + (p[2] - p[0]) * t
                + (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]) * t**2
                + (3 * p[1] - p[0] - 3 * p[2] + p[3]) * t**3
            )
            curve.append((max(q.x, 0.001), q.y))
    return [*curve, points[-1]]


def _vessel(
    paint: bpy.types.Material, outside: Sequence[tuple[float, float]], wall: float
) -> bpy.types.Object:
    """An open pot: the outer profile, a rounded lip, and the inside down to the bottom."""
    rim, z = outside[-1]
    inside = [(max(r - wall, 0.001), h) for r, h in reversed(outside) if h > wall]
    return b.lathe(
        paint, [(0.001, 0.0), *outside, (rim - wall / 2, z + wall / 2), *inside, (0.001, wall)], sides=48
    )


def vase(rng: random.Random, look: b.Look) -> Parts:
    """A vase with a belly and a neck, sometimes with handles, a band, or twigs."""
    belly, neck, lip = rng.uniform(0.24, 0.34), rng.uniform(0.08, 0.14), rng.uniform(0.13, 0.2)
    height = rng.uniform(0.35, 0.5)
    outside = _spline(
        [(0.15, 0.0), (0.17, 0.03), (belly, height), (neck + 0.04, 0.76), (neck, 0.84), (lip, 1.0)]
    )
    made = _vessel(look.paint(roughness=0.25), outside, 0.025)
    parts, handles = [made], rng.random() < 0.4
    style = rng.random()
    if style < 0.3:
        _pattern(
            made, _accent(rng, roughness=0.3), lambda p: abs(p.z - height) < 0.035 or abs(p.z - 0.78) < 0.02
        )
    elif style < 0.5:
        _pattern(
            made, _white(), lambda p: abs(p.z - height - 0.045 * math.sin(6 * math.atan2(p.y, p.x))) < 0.03
        )
    if handles:
        paint = look.paint(0.95, roughness=0.25)
        parts += _mirrored(
            lambda s: b.tube(
                paint,
                [
                    (s * neck, 0, 0.84),
                    (s * (neck + 0.17), 0, 0.84),
                    (s * (belly + 0.03), 0, height + 0.2),
                    (s * belly * 0.9, 0, height + 0.08),
                ],
                0.026,
            )
        )
    if rng.random() < 0.3:
        parts += _twigs(rng, neck)
    _cover(look, [made], length=0.04)
    return parts


def _twigs(rng: random.Random, neck: float) -> Parts:
    """A few green stems with small white blossoms."""
    green, white, parts = b.material(b.linear("#3f7a34")), b.material(b.linear("#f6efe4")), []
    for i in range(5):
        a = TAU * i / 5 + rng.uniform(-0.4, 0.4)
        lean = rng.uniform(0.1, 0.24)
        tip = Vector((lean * math.cos(a), lean * math.sin(a), 1.0 + rng.uniform(0.22, 0.36)))
        parts.append(b.tube(green, [(neck * 0.4 * math.cos(a), neck * 0.4 * math.sin(a), 0.85), tip], 0.011))
        parts.append(b.ball(white, tip, rng.uniform(0.045, 0.065), segments=12))
        parts.append(
            b.ball(
                green,
                tip - Vector((0.02, 0, 0.1)),
                (0.05, 0.015, 0.03),
                (0, 30, rng.uniform(0, 180)),
                segments=8,
            )
        )
    return parts


def bowl(rng: random.Random, look: b.Look) -> Parts:
    """A bowl on a foot, empty or holding fruit, plain or with a band."""
    tall, foot = rng.uniform(0.36, 0.5), rng.uniform(0.17, 0.24)
    outside = _spline(
        [
            (foot, 0.0),
            (foot, 0.045),
            (0.36, 0.1 + tall * 0.1),
            (0.47, tall * 0.62),
            (rng.uniform(0.49, 0.53), tall),
        ]
    )
    made = _vessel(look.paint(roughness=0.25), outside, 0.025)
    parts, style = [made], rng.random()

    def outer(p: Vector) -> bool:
        return min(abs(p.xy.length - r) + abs(p.z - z) for r, z in outside) < 0.03

    if style < 0.3:
        _pattern(made, _white(), lambda p: abs(p.z - tall * 0.8) < 0.025 and outer(p))
    elif style < 0.5:
        _pattern(
            made,
            _white(),
            lambda p: (
                p.z > tall * 0.3
                and (math.atan2(p.y, p.x) / TAU * 14) % 1 < 0.3
                and p.z < tall * 0.75
                and outer(p)
            ),
        )
    if rng.random() < 0.35:
        fruit = b.material(b.linear(rng.choice(("#e8821a", "#c22a22", "#8fb52c"))), roughness=0.4)
        parts += [
            b.ball(fruit, (0.22 * math.cos(a), 0.22 * math.sin(a), tall - 0.06), 0.15)
            for a in (TAU * i / 4 + 0.4 for i in range(4))
        ]
        parts.append(b.ball(fruit, (0.02, 0, tall + 0.08), 0.15))
    _cover(look, [made], length=0.04)
    return parts


def can(rng: random.Random, look: b.Look) -> Parts:
    """A drink can or a food tin: a painted label between metal ends."""
    metal, drink = _metal(), rng.random() < 0.65
    r = rng.uniform(0.25, 0.28) if drink else rng.uniform(0.31, 0.38)
    low, high = (0.06, 0.88) if drink else (0.05, 0.95)
    rows = 28
    profile = [(r, low + (high - low) * i / rows) for i in range(rows + 1)]
    label = b.lathe(look.paint(roughness=0.35, metallic=0.2 if drink else 0.0), profile, sides=72)
    _label(rng, label, r, (low + high) / 2)
    if drink:
        base = [(0.001, 0.03), (r * 0.7, 0.03), (r * 0.78, 0.0), (r * 0.84, 0.0), (r, low)]
        top = [
            (r, high),
            (r * 0.88, 0.96),
            (r * 0.88, 0.985),
            (r * 0.84, 0.985),
            (r * 0.82, 0.955),
            (0.001, 0.955),
        ]
    else:
        base = [(0.001, 0.0), (r * 1.03, 0.0), (r * 1.03, 0.025), (r * 0.985, 0.03), (r, low)]
        top = [
            (r, high),
            (r * 0.985, 0.97),
            (r * 1.03, 0.975),
            (r * 1.03, 1.0),
            (r * 0.97, 1.0),
            (r * 0.96, 0.975),
            (0.001, 0.975),
        ]
    lid = top[-1][1]
    parts = [label, b.lathe(metal, base, sides=48), b.lathe(metal, top, sides=48)]
    parts.append(b.ring(metal, (0, -r * 0.3, lid + 0.012), r * 0.19, 0.012, (5, 0, 0)))
    parts.append(
        b.ball(b.material((0.02, 0.02, 0.02)), (0, -r * 0.56, lid), (r * 0.22, r * 0.17, 0.004), segments=16)
    )
    _cover(look, [label], length=0.04)
    return parts


def _label(rng: random.Random, label: bpy.types.Object, r: float, middle: float) -> None:
    """Draws on a can's painted side: an oval, a wave, bands, or nothing."""
    style = rng.choice(("oval", "wave", "bands", "plain"))
    ink = rng.choice((_white(), b.material(b.linear("#f0d890"))))

    def around(p: Vector) -> float:
        return math.atan2(p.x, -p.y)

    if style == "oval":
        _pattern(
            label,
            ink,
            lambda p: any(
                (math.remainder(around(p) - a, TAU) * r / 0.17) ** 2 + ((p.z - middle) / 0.15) ** 2 < 1
                for a in (0, math.pi)
            ),
        )
    elif style == "wave":
        _pattern(label, ink, lambda p: abs(p.z - middle - 0.1 * math.sin(2 * around(p) + 0.6)) < 0.075)
    elif style == "bands":
        _pattern(label, ink, lambda p: 0.2 < abs(p.z - middle) < 0.27)


def candle(rng: random.Random, look: b.Look) -> Parts:
    """A burning candle of painted wax with drips, alone or in a saucer; or three together."""
    style = rng.choice(("pillar", "taper", "saucer", "three"))
    paint = look.paint(roughness=0.4)
    if style == "three":
        soft, hard = [], []
        for x, y, tall in ((-0.2, 0.04, 0.55), (0.2, 0.02, 0.42), (0.02, -0.17, 0.28)):
            wax, flame = _wax(
                rng, paint, Vector((x, y, 0)), rng.uniform(0.12, 0.15), tall * rng.uniform(0.9, 1.15)
            )
            soft, hard = soft + wax, hard + flame
    else:
        r, tall = {"pillar": (0.2, 0.6), "taper": (0.12, 0.75), "saucer": (0.13, 0.5)}[style]
        soft, hard = _wax(
            rng,
            paint,
            Vector((0, 0, 0.04 if style == "saucer" else 0)),
            r * rng.uniform(0.9, 1.15),
            tall * rng.uniform(0.9, 1.1),
        )
        if style == "saucer":
            brass = b.material(b.linear("#d0a040"), roughness=0.25, metallic=1.0)
            hard.append(
                b.lathe(
                    brass,
                    [(0.001, 0.0), (0.2, 0.0), (0.31, 0.07), (0.3, 0.08), (0.19, 0.025), (0.001, 0.025)],
                )
            )
            hard.append(b.ring(brass, (0.36, 0, 0.1), 0.06, 0.016, (90, 0, 0)))
    _cover(
        look, soft[:1] if style != "three" else [s for s in soft if len(s.data.polygons) > 200], length=0.03
    )
    return soft + hard


def _wax(
    rng: random.Random, paint: bpy.types.Material, at: Vector, r: float, tall: float
) -> tuple[Parts, Parts]:
    """One candle: its wax with drips, and its wick and flame."""
    profile = [
        (0.001, 0.0),
        (r, 0.0),
        (r, tall * 0.5),
        (r, tall - 0.02),
        (r * 0.96, tall),
        (r * 0.84, tall - 0.004),
        (r * 0.6, tall - 0.035),
        (0.001, tall - 0.045),
    ]
    wax = [b.lathe(paint, profile, at)]
    for i in range(rng.randint(4, 7)):
        a = TAU * i / 6 + rng.uniform(-0.4, 0.4)
        long = rng.uniform(0.06, 0.2)
        side = at + Vector((r * math.cos(a), r * math.sin(a), tall - long + 0.012))
        wax.append(b.ball(paint, side, (0.026, 0.026, long), segments=12))
    top = at + Vector((0, 0, tall - 0.05))
    wick = b.tube(b.material((0.01, 0.008, 0.006)), [top, top + Vector((0.008, 0, 0.1))], 0.012)
    size = rng.uniform(0.9, 1.2)
    shape = _spline([(0.001, 0.0), (0.042, 0.05), (0.048, 0.09), (0.024, 0.18), (0.001, 0.26)], 5)
    flame = b.lathe(
        b.material((1.0, 0.42, 0.06), emission=4.0),
        [(x * size, z * size) for x, z in shape],
        top + Vector((0, 0, 0.07)),
        sides=16,
    )
    core = b.lathe(
        b.material((1.0, 0.85, 0.45), emission=9.0),
        [(x * size * 0.6, z * size * 0.55) for x, z in shape],
        top + Vector((0, -0.022, 0.085)),
        sides=12,
    )
    return wax, [wick, flame, core]


KINDS: dict[str, Builder] = {
    "teddy bear": teddy_bear,
    "stuffed animal": stuffed_animal,
    "cat": cat,
    "dog": dog,
    "duck": duck,
    "robot": robot,
    "snowman": snowman,
    "mushroom": mushroom,
    "tree": tree,
    "ball": ball,
    "vase": vase,
    "bowl": bowl,
    "can": can,
    "candle": candle,
}
