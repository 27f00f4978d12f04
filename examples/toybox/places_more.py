"""Four more places in the manner of `places`: under the sea, among the stars, on a stage, on a chessboard.

What hangs in the air between the camera and the thing would show in the tint mask, so bubbles, beams and rocks
keep beside or behind the thing. In space nothing carries the thing: it floats where it would stand.
"""

import math
import random
from collections.abc import Sequence

import blend as b
import bpy
from mathutils import Vector, noise
from places import (
    Builder,
    Rgb,
    block,
    clouds,
    cobbles,
    copies,
    darker,
    flat,
    indoors,
    joined,
    mottled,
    pieces,
    planks,
    rolling,
    terrain,
    tone,
    wall,
)

# Materials and lights ---------------------------------------------------------------------------------------


def hazed(made: bpy.types.Material, rgb: Rgb, near: float, far: float) -> bpy.types.Material:
    """Fades the material into the haze between two distances from the camera, as a volume would."""
    nodes, links = made.node_tree.nodes, made.node_tree.links
    view, step = nodes.new("ShaderNodeCameraData"), nodes.new("ShaderNodeMapRange")
    glow, mix = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeMixShader")
    step.inputs["From Min"].default_value, step.inputs["From Max"].default_value = near, far
    glow.inputs["Color"].default_value = (*rgb, 1)
    links.new(view.outputs["View Distance"], step.inputs["Value"])
    links.new(step.outputs["Result"], mix.inputs["Fac"])
    links.new(nodes["Principled BSDF"].outputs["BSDF"], mix.inputs[1])
    links.new(glow.outputs["Emission"], mix.inputs[2])
    links.new(mix.outputs["Shader"], nodes["Material Output"].inputs["Surface"])
    return made


def glow(rgb: Rgb, strength: float, *, rim: float = 0.0) -> bpy.types.Material:
    """Clear, and shining by itself: beams of light; with a `rim`, brightest at the outline: bubbles."""
    made = b.material(rgb)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    clear, shine = nodes.new("ShaderNodeBsdfTransparent"), nodes.new("ShaderNodeEmission")
    add = nodes.new("ShaderNodeAddShader")
    shine.inputs["Color"].default_value = (*rgb, 1)
    shine.inputs["Strength"].default_value = strength
    if rim:
        facing, step = nodes.new("ShaderNodeLayerWeight"), nodes.new("ShaderNodeMapRange")
        step.inputs["From Min"].default_value, step.inputs["To Min"].default_value = 1 - rim, 0.12 * strength
        step.inputs["To Max"].default_value = strength
        links.new(facing.outputs["Facing"], step.inputs["Value"])
        links.new(step.outputs["Result"], shine.inputs["Strength"])
    links.new(clear.outputs["BSDF"], add.inputs[0])
    links.new(shine.outputs["Emission"], add.inputs[1])
    links.new(add.outputs["Shader"], nodes["Material Output"].inputs["Surface"])
    return made


def spot(at: Sequence[float], aim: Sequence[float], power: float, rgb: Rgb, angle: float) -> None:
    """A theatre lamp whose light ends in a clear circle, `angle` degrees wide."""
    light = bpy.data.lights.new("spot", "SPOT")
    light.energy, light.color, light.spot_size = power, rgb, math.radians(angle)
    light.spot_blend, light.shadow_soft_size = 0.08, 0.06
    made = bpy.data.objects.new("spot", light)
    made.location = Vector(at)
    made.rotation_euler = (Vector(aim) - made.location).to_track_quat("-Z", "Y").to_euler()
    bpy.context.collection.objects.link(made)


# Under the sea ----------------------------------------------------------------------------------------------


def kelp(rng: random.Random, look: bpy.types.Material, at: Sequence[float], tall: float) -> bpy.types.Object:
    """A tuft of wavy ribbons."""
    vertices: list[Vector] = []
    faces: list[tuple[int, ...]] = []
    for _ in range(rng.randint(4, 6)):
        foot = Vector(at) + Vector((rng.gauss(0, 0.12), rng.gauss(0, 0.1), -0.05))
        height, phase, lean = tall * rng.uniform(0.6, 1.15), rng.uniform(0, 6), rng.gauss(0, 0.25)
        first, rows = len(vertices), 10
        for i in range(rows + 1):
            t = i / rows
            sway = 0.09 * math.sin(phase + 7 * t) + lean * t * t
            half = 0.075 * (1 - t**3) * (1 + 0.25 * math.sin(phase + 19 * t))
            middle = foot + Vector((sway, 0.06 * math.cos(phase + 6 * t), height * t))
            vertices += [middle - Vector((half, 0.02, 0)), middle + Vector((half, 0.02, 0))]
        faces += [
            (first + 2 * i, first + 2 * i + 1, first + 2 * i + 3, first + 2 * i + 2) for i in range(rows)
        ]
    return b.mesh(look, vertices, faces, smooth=True)


def coral(rng: random.Random, look: bpy.types.Material) -> bpy.types.Object:
    """A bush of forked branches, about 0.8 high."""
    parts: list[bpy.types.Object] = []

    def grow(foot: Vector, way: Vector, length: float, level: int) -> None:
        tip, thick = foot + way * length, 0.11 - 0.02 * level
        turn = [math.degrees(a) for a in way.to_track_quat("Z", "Y").to_euler()]
        parts.append(b.cone(look, (foot + tip) / 2, thick, thick * 0.8, length * 1.1, turn, 7))
        for side in (-1, 1) if level < 2 else ():
            bent = way + Vector((side * rng.uniform(0.4, 0.8), rng.gauss(0, 0.4), 0.25))
            grow(tip, bent.normalized(), length * rng.uniform(0.65, 0.9), level + 1)

    for lean in (-0.6, 0.1, 0.7):
        grow(Vector((0, 0, -0.05)), Vector((lean, rng.gauss(0, 0.3), 1)).normalized(), 0.38, 0)
    return joined(parts)


def sea_floor(rng: random.Random) -> bpy.types.Material:
    """Sand with the net of light that waves throw on it."""
    pale = tone(rng, "#94a288", 0.08)
    made = cobbles(darker(pale, 0.9), pale, darker(pale, 1.7), scale=rng.uniform(2.0, 2.8), bump=0.0)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates = next(n for n in nodes if n.type == "TEX_COORD")
    warp, bend = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeVectorMath")
    bend.operation, bend.inputs[1].default_value = "MULTIPLY_ADD", (0.35, 0.35, 0.35)
    warp.inputs["Scale"].default_value, warp.inputs["Detail"].default_value = 4.0, 1.0
    links.new(coordinates.outputs["Object"], warp.inputs["Vector"])
    links.new(warp.outputs["Color"], bend.inputs[0])
    links.new(coordinates.outputs["Object"], bend.inputs[2])
    for node in nodes:
        if node.type == "TEX_VORONOI":
            node.inputs["Randomness"].default_value = 1.0
            links.new(bend.outputs[0], node.inputs["Vector"])
        if node.type == "MAP_RANGE":
            node.inputs["From Min"].default_value, node.inputs["From Max"].default_value = 0.0, 0.2
    return made


def fish(look: bpy.types.Material, at: Sequence[float], size: float, turn: float) -> None:
    body = [(0.5 * math.cos(0.5 * i), 0.24 * math.sin(0.5 * i)) for i in range(-5, 6)]
    outline = [(size * x, size * z) for x, z in [*body, (-0.75, 0.28), (-0.62, 0.0), (-0.75, -0.28)]]
    b.prism(look, outline, 0.12 * size, at, (0, 0, turn))


def underwater(rng: random.Random, light: str) -> float:
    deep, top, gain = {
        "day": ("#1683a0", "#a4f0ea", 0.92),
        "sunset": ("#2b7c80", "#f4d8a0", 0.8),
        "night": ("#062640", "#155a82", 0.5),
    }.get(light, ("#3d8482", "#8fc4ba", 0.8))
    haze, above = tone(rng, deep, 0.1), tone(rng, top, 0.06)
    b.sky(haze, above, 1.0)
    side, rgb = rng.choice((-1, 1)), (1.0, 0.9, 0.7) if light == "sunset" else (0.76, 1.0, 0.96)
    b.sun(side * rng.uniform(10, 50), rng.uniform(60, 75), 2.6 * gain**2, rgb, 8)
    if light == "night":
        b.lamp((side * 1.1, -2.0, 2.3), 22, (0.75, 0.95, 1.0), 0.7)
    sand = hazed(sea_floor(rng), haze, 3.0, 7.5)
    terrain(sand, rolling(rng, 0.14, (1.2, 1.6), still=0.5), (-9, 9), (-4, 10), cells=50)
    greens = [hazed(flat(rng, srgb), haze, 2.5, 9) for srgb in ("#1f6a34", "#5c8a1e", "#2e7f5a")]
    for i in range(13):
        x, y = (rng.choice((-1, 1)) * rng.uniform(0.75, 1.25), rng.uniform(0.5, 1.3))
        if i > 4:
            x, y = rng.uniform(-3, 3), rng.uniform(1.6, 4.5)
        kelp(rng, rng.choice(greens), (x, y, 0), rng.uniform(0.8, 1.5) + 0.15 * y)
    for k, srgb in enumerate(("#e8508c", "#f08034", "#c83c4c", "#a858c8")):
        way, size, turn = -1 if k % 2 else 1, rng.uniform(0.5, 0.8), rng.uniform(-0.6, 0.6)
        x, y = (rng.uniform(0.65, 1.0), rng.uniform(0.25, 0.9)) if k < 3 else (0.4, 1.6)
        far = (rng.uniform(-1.8, 1.8), rng.uniform(1.4, 2.6), 0, size, turn + math.pi)
        bush = coral(rng, hazed(flat(rng, srgb, roughness=0.8), haze, 2.5, 9))
        copies(bush, [(way * x, y, 0, size, turn), far])
    scales = [hazed(flat(rng, srgb), haze, 3, 10) for srgb in ("#f8c020", "#f07828", "#e8ecf0")]
    turn = rng.choice((0, 180)) + rng.uniform(-25, 25)
    for _ in range(rng.randint(3, 6)):
        at = (rng.choice((-1, 1)) * rng.uniform(0.5, 1.5), rng.uniform(1.2, 2.6), rng.uniform(0.6, 1.5))
        fish(rng.choice(scales), at, rng.uniform(0.2, 0.32), turn)
    bubble = b.ball(glow((0.75, 0.97, 1.0), 0.8 * gain, rim=0.6), radius=1, segments=14)
    columns = [(s * rng.uniform(0.5, 1.1), rng.uniform(0.35, 1.0)) for s in (-1, 1, side)] * 9
    spots = [
        (x + rng.gauss(0, 0.07), y, rng.uniform(0.2, 1.8), rng.uniform(0.02, 0.06), 0) for x, y in columns
    ]
    copies(bubble, spots)
    shaft = glow(above, 0.16 * gain)
    for i in range(5):
        x = -2.4 + 1.2 * i + rng.uniform(-0.4, 0.4)
        y, wide = 3.0 + 0.2 * i, rng.uniform(0.25, 0.55)
        top, foot = x + side * 1.5, x - side * 0.6
        corners = [(top - wide / 3, y, 5), (top + wide / 3, y, 5), (foot + wide, y, 0), (foot - wide, y, 0)]
        b.mesh(shaft, corners, [(0, 1, 2, 3)])
    return 0.02


# Among the stars --------------------------------------------------------------------------------------------


def planet(rng: random.Random, at: Sequence[float], radius: float) -> None:
    """Banded and ringed, or pitted with craters."""
    turn = (rng.uniform(14, 24), rng.choice((-1, 1)) * rng.uniform(12, 26), 0)
    if rng.random() < 0.65:
        tones = "#b07840 #f0d8a0", "#3c8ca0 #b8e8e0", "#a04c78 #f0b0b8", "#6a58b0 #c8b8f0", "#a85c3c #e8b890"
        dark, pale = (tone(rng, srgb) for srgb in rng.choice(tones).split())
        look = b.textured("WAVE", dark, pale, scale=rng.uniform(0.9, 1.3), contrast=1.2, distortion=1.5)
        next(n for n in look.node_tree.nodes if n.type == "TEX_WAVE").bands_direction = "Z"
        for inner, outer, gain in ((1.35, 1.62, 0.6), (1.66, 1.95, 1.0), (2.02, 2.2, 0.45)):
            dust = b.material(darker(pale, gain), emission=0.06)
            b.lathe(dust, [(inner * radius, 0), (outer * radius, 0)], at, turn, sides=64)
    else:
        tones = "#5c2c20 #c8744c", "#54504c #a8a098", "#2c4a68 #7cb0c8"
        dark, pale = (tone(rng, srgb) for srgb in rng.choice(tones).split())
        look = b.textured("VORONOI", dark, pale, scale=3.2, contrast=1.6, bump=0.25, roughness=1.0)
    b.ball(look, at, radius, turn, 40)


def asteroid(rng: random.Random, look: bpy.types.Material, at: Sequence[float], radius: float) -> None:
    made = b.ball(look, at, radius, segments=16)
    shift = Vector([rng.uniform(-50, 50) for _ in range(3)])
    for corner in made.data.vertices:
        corner.co *= 1 + 0.55 * noise.noise(corner.co * 1.3 + shift)
    made.rotation_euler = [rng.uniform(0, 6) for _ in range(3)]
    made.scale.x *= rng.uniform(1.0, 1.5)


def space(rng: random.Random, light: str) -> float:
    b.sky((0.004, 0.004, 0.012), (0.006, 0.004, 0.014), 1.0)
    mist = {"day": "#24306c", "sunset": "#5c2440", "night": "#1c1644"}.get(light, "#14464e")
    clouds(rng, darker(tone(rng, mist), 0.7), 0.5)
    side = rng.choice((-1, 1))
    rgb = {"sunset": (1, 0.7, 0.45), "night": (0.66, 0.76, 1)}.get(light, (1, 0.98, 0.94))
    b.sun(side * rng.uniform(35, 60), rng.uniform(15, 40), 1.7 if light == "night" else 3.2, rgb, 1.0)
    b.lamp((-side * 2, -2, 1.0), 8 if light == "night" else 16, (0.72, 0.8, 1), 1.5)
    for count, size, shine in ((500, 0.1, 4.0), (90, 0.2, 5.0)):
        ways = [Vector((rng.gauss(0, 0.7), 1, rng.uniform(-0.9, 0.9))).normalized() for _ in range(count)]
        pieces(rng, [b.material((1, 0.97, 0.9), emission=shine)], [45 * way for way in ways], size, slim=1.0)
    x = rng.choice((-1, 1)) * rng.uniform(2.2, 3.4)
    planet(rng, (x, 15, rng.uniform(1.6, 3.2)), rng.uniform(2.7, 3.4))
    rock = mottled(rng, "#4c443c", "#84786c", scale=3, bump=0.06)
    for i in range(9):
        way = -1 if i % 2 else 1
        x, y, z, r = way * rng.uniform(0.75, 1.1), rng.uniform(0.3, 1.0), rng.uniform(-0.4, 1.2), 0.1
        if i > 2:
            x, y, z, r = rng.uniform(-2.4, 2.4), rng.uniform(2, 5), rng.uniform(-1.2, 1.8), 0.15
        asteroid(rng, rock, (x, y, z), r * rng.uniform(0.6, 1.4))
    return 0.0


# On the stage -----------------------------------------------------------------------------------------------


def curtain(
    rng: random.Random,
    looks: Sequence[bpy.types.Material],
    foot: Sequence[float],
    along: Sequence[float],
    fold: float,
) -> None:
    """Cloth hanging in folds above the line that starts at `foot`, with a hem in the second look."""
    start, line, phase = Vector(foot), Vector(along), rng.uniform(0, 6)
    across, count = Vector((-line.y, line.x, 0)).normalized(), round(line.length / fold * 8)
    rows: list[list[Vector]] = [[], [], []]
    for i in range(count + 1):
        out = across * fold * 0.35 * math.sin(phase + math.pi * i / 4 + 0.5 * math.sin(i * 0.21 + phase))
        for row, z, gain in zip(rows, (0, 0.12, 5), (1.2, 1.18, 0.8), strict=True):
            row.append(start + line * i / count + out * gain + Vector((0, 0, z)))
    faces = [(i, i + 1, i + count + 2, i + count + 1) for i in range(count)]
    b.mesh(looks[0], rows[1] + rows[2], faces, smooth=True)
    b.mesh(looks[1], rows[0] + rows[1], faces, smooth=True)


def stage(rng: random.Random, light: str) -> float:
    side = indoors(rng, light, 0.28)
    red = tone(rng, rng.choice(("#a8101c", "#b41420", "#8c0c18")), 0.1)
    cloth = b.material(red, roughness=0.6)
    cloth.node_tree.nodes["Principled BSDF"].inputs["Sheen Weight"].default_value = 0.3
    gold = flat(rng, "#e0b040", roughness=0.35)
    boards = planks(rng, *rng.choice((("#7a4a24", "#a06a38"), ("#8a5c34", "#b88450"))))
    floor = block(boards, (0, 1, -0.05), (12, 10, 0.1))
    floor.rotation_euler = (0, 0, math.radians(90))
    back, gap = rng.uniform(1.7, 2.2), rng.uniform(1.0, 1.2)
    curtain(rng, (cloth, gold), (-5, back, 0), (10, 0, 0), 0.42)
    for way in (-1, 1):
        y, turn = rng.uniform(0.5, 0.8), rng.uniform(-0.3, 0.1)
        curtain(rng, (cloth, gold), (way * gap, y, 0), (way * 2.2, turn, 0), 0.3)
    warm = {"night": (1, 0.9, 0.75), "sunset": (1, 0.82, 0.6)}.get(light, (1, 0.96, 0.88))
    spot((side * 0.8, -1.1, 5.2), (0, 0.05, 0), rng.uniform(900, 1100), warm, rng.uniform(14, 17))
    b.lamp((-side * 1.2, -1.0, 3.4), 10, warm, 1.0)
    wash = rng.uniform(110, 150) if light == "night" else rng.uniform(200, 260)
    spot((0, -1.5, 3.2), (0, back, 0.9), wash, warm, 70)
    return 0.0


# On the chessboard ------------------------------------------------------------------------------------------

# outlines of chess pieces one square wide: radius and height in percent, from the foot up
FOOT = "0,0 36,0 36,10 28,16 26,22"
PIECES = {
    "pawn": "14,40 12,62 22,66 10,72 20,84 20,94 10,104 0,106",
    "rook": "20,40 18,95 28,102 28,130 20,130 20,118 0,118",
    "bishop": "15,50 11,100 24,105 10,110 19,125 15,145 4,160 0,170",
    "queen": "16,50 12,120 26,126 13,132 25,168 12,170 8,184 0,186",
    "king": "17,50 13,130 28,136 15,142 25,180 10,190 0,190",
    "knight": "0,22",
}
HEAD = "-24,20 26,20 24,75 12,120 4,140 -6,124 -40,98 -38,84 -30,80 -8,86 -22,55"


def points(outline: str, size: float) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in outline.split())
    return [(float(x) * size / 100, float(z) * size / 100) for x, z in pairs]


def chess_piece(look: bpy.types.Material, name: str, at: Sequence[float], size: float) -> None:
    x, y, _ = at
    if name == "knight":
        b.prism(look, points(HEAD, size), 0.24 * size, at, bevel=0.03)
    if name == "king":
        block(look, (x, y, 2.02 * size), (0.08 * size, 0.08 * size, 0.32 * size))
        block(look, (x, y, 2.06 * size), (0.24 * size, 0.08 * size, 0.08 * size))
    b.lathe(look, points(f"{FOOT} {PIECES[name]}", size), at, sides=20)


def chessboard(rng: random.Random, light: str) -> float:
    indoors(rng, light, 1.15)
    paint = rng.choice(("#8c7a6c", "#6c7c8c", "#94785c", "#74846c"))
    wall(mottled(rng, paint, paint, scale=20), (0, 5.0, -2), 20, 9)
    block(flat(rng, paint), (0, 2, -1.0), (20, 12, 0.1))
    square = rng.uniform(0.42, 0.5)
    white, black = tone(rng, "#ece4d4", 0.05), tone(rng, "#16140f")
    vertices: list[tuple[float, ...]] = []
    faces: list[list[tuple[int, ...]]] = [[], []]
    for i in range(8):
        for j in range(8):
            x, y, n = (i - 4) * square, (j - 3) * square - square / 2, len(vertices)
            vertices += [(x, y, 0), (x + square, y, 0), (x + square, y + square, 0), (x, y + square, 0)]
            faces[(i + j) % 2].append((n, n + 1, n + 2, n + 3))
    for rgb, part in zip((white, black), faces, strict=True):
        b.mesh(b.material(rgb, roughness=0.25, coat=0.4), vertices, part)
    edge = 8 * square + 0.3
    block(flat(rng, "#4a2a16", roughness=0.3), (0, square / 2, -0.066), (edge, edge, 0.13), bevel=0.02)
    looks = [
        b.material(tone(rng, "#f0e6d0", 0.05), roughness=0.25, coat=0.5),
        b.material((0.02, 0.018, 0.016), roughness=0.2, coat=0.8),
    ]
    names = ["king", "queen", "knight", "rook", "bishop", "pawn", "pawn"]
    rng.shuffle(names)
    columns = [(-2, 2), (2, 2), (-3, 3), (3, 3), (1, 4), (-1, 4), (-2, 4)]
    for name, (i, j) in zip(names, columns, strict=True):
        x, y = (i - (0.5 if i > 0 else -0.5)) * square, j * square
        chess_piece(looks[rng.random() < 0.5 if j > 2 else i > 0], name, (x, y, 0), square * 1.2)
    return 0.0


PLACES: dict[str, Builder] = {
    "underwater": underwater,
    "space": space,
    "stage": stage,
    "chessboard": chessboard,
}

# Camera azimuth and height, as in `places.VIEWS`.
VIEWS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "underwater": ((-20, 20), (4, 18)),
    "space": ((-15, 15), (-6, 12)),
    "stage": ((-18, 18), (4, 16)),
    "chessboard": ((-20, 20), (9, 24)),
}
