"""Places where the toys stand: ground, background, sky and lights, each a word in `PLACES`.

A builder takes a random generator and the light ("day", "sunset", "night" or "overcast"), builds the place
around the origin, and returns the depth by which the thing sinks into the ground. The camera is at -y, the
background towards +y; backgrounds are small and near, so that a camera looking down still sees them. The
mirror shows a mirrored copy of the thing instead of reflecting it, as reflections do not reach the tint mask:
call `reflect` with the thing's objects once it stands. `VIEWS` holds camera angles for places told by a
landmark.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence

import blend as b
import bpy
from mathutils import Matrix, Vector, noise

Rgb = tuple[float, float, float]
Spot = tuple[float, float, float, float, float]  # x, y, z, scale, turn about z in radians
Builder = Callable[[random.Random, str], float]

GREENS = ("#4f7d2a", "#3f6a22", "#6b9438")


def tone(rng: random.Random, srgb: str, spread: float = 0.12) -> Rgb:
    """The colour in linear RGB, a little lighter, darker, warmer or cooler."""
    gain = rng.uniform(1 - spread, 1 + spread)
    r, g, b_ = (min(0.95, v * gain * rng.uniform(1 - spread / 2, 1 + spread / 2)) for v in b.linear(srgb))
    return r, g, b_


def darker(rgb: Rgb, gain: float = 0.5) -> Rgb:
    return rgb[0] * gain, rgb[1] * gain, rgb[2] * gain


def flat(rng: random.Random, srgb: str, **kwargs: float) -> bpy.types.Material:
    """A plain material of about this colour."""
    return b.material(tone(rng, srgb), **kwargs)


def mottled(rng: random.Random, dark: str, light: str, **kwargs: float) -> bpy.types.Material:
    """Two colours mixed by fractal noise: soil, lawn, sand, stone."""
    options = {"scale": 6.0, "contrast": 2.5, "roughness": 0.9, "detail": 6.0} | kwargs
    return b.textured("NOISE", tone(rng, dark), tone(rng, light), **options)


# Materials from nodes ---------------------------------------------------------------------------------------


def _bumped(made: bpy.types.Material, height: bpy.types.NodeSocket, distance: float) -> None:
    bump = made.node_tree.nodes.new("ShaderNodeBump")
    bump.inputs["Distance"].default_value = distance
    made.node_tree.links.new(height, bump.inputs["Height"])
    made.node_tree.links.new(bump.outputs["Normal"], made.node_tree.nodes["Principled BSDF"].inputs["Normal"])


def bricks(
    rgb_a: Rgb,
    rgb_b: Rgb,
    rgb_gap: Rgb,
    *,
    width: float,
    height: float,
    gap: float = 0.01,
    offset: float = 0.5,
    grain: float = 0.35,
    grain_scale: Sequence[float] = (3, 30, 3),
    bump: float = 0.01,
    roughness: float = 0.5,
    coat: float = 0.0,
    emission: float = 0.0,
) -> bpy.types.Material:
    """Rows of bricks, planks, tiles, slabs or windows in the object's xy plane, each a mix of two colours."""
    made = b.material(rgb_a, roughness=roughness, coat=coat, emission=emission)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates, brick = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeTexBrick")
    stretch, fibres = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeTexNoise")
    shade, multiply = nodes.new("ShaderNodeMapRange"), nodes.new("ShaderNodeMixRGB")
    brick.offset = offset
    for name, value in {
        "Color1": (*rgb_a, 1),
        "Color2": (*rgb_b, 1),
        "Mortar": (*rgb_gap, 1),
        "Scale": 1.0,
        "Mortar Size": gap,
        "Brick Width": width,
        "Row Height": height,
    }.items():
        brick.inputs[name].default_value = value
    stretch.inputs["Scale"].default_value = grain_scale
    shade.inputs["From Min"].default_value, shade.inputs["From Max"].default_value = 0.3, 0.7
    shade.inputs["To Min"].default_value, shade.inputs["To Max"].default_value = 1 - grain, 1.0
    multiply.blend_type = "MULTIPLY"
    multiply.inputs["Fac"].default_value = 1.0
    links.new(coordinates.outputs["Object"], brick.inputs["Vector"])
    links.new(coordinates.outputs["Object"], stretch.inputs["Vector"])
    links.new(stretch.outputs["Vector"], fibres.inputs["Vector"])
    links.new(fibres.outputs["Fac"], shade.inputs["Value"])
    links.new(brick.outputs["Color"], multiply.inputs["Color1"])
    links.new(shade.outputs["Result"], multiply.inputs["Color2"])
    shader = nodes["Principled BSDF"]
    links.new(multiply.outputs["Color"], shader.inputs["Base Color"])
    if emission:
        links.new(multiply.outputs["Color"], shader.inputs["Emission Color"])
    _bumped(made, brick.outputs["Fac"], -bump)
    return made


def cobbles(rgb_a: Rgb, rgb_b: Rgb, rgb_gap: Rgb, *, scale: float, bump: float) -> bpy.types.Material:
    """Rounded stones of differing shades with dark gaps."""
    made = b.material(rgb_a, roughness=0.55)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates = nodes.new("ShaderNodeTexCoord")
    cells, edges = nodes.new("ShaderNodeTexVoronoi"), nodes.new("ShaderNodeTexVoronoi")
    edges.feature = "DISTANCE_TO_EDGE"
    split, stones, gaps = (
        nodes.new("ShaderNodeSeparateXYZ"),
        nodes.new("ShaderNodeMixRGB"),
        nodes.new("ShaderNodeMixRGB"),
    )
    rounding = nodes.new("ShaderNodeMapRange")
    rounding.interpolation_type = "SMOOTHSTEP"
    rounding.inputs["From Min"].default_value, rounding.inputs["From Max"].default_value = 0.02, 0.16
    for node in (cells, edges):
        node.inputs["Scale"].default_value = scale
        node.inputs["Randomness"].default_value = 0.6
        links.new(coordinates.outputs["Object"], node.inputs["Vector"])
    stones.inputs["Color1"].default_value, stones.inputs["Color2"].default_value = (*rgb_a, 1), (*rgb_b, 1)
    gaps.inputs["Color1"].default_value = (*rgb_gap, 1)
    links.new(cells.outputs["Color"], split.inputs["Vector"])
    links.new(split.outputs["X"], stones.inputs["Fac"])
    links.new(edges.outputs["Distance"], rounding.inputs["Value"])
    links.new(rounding.outputs["Result"], gaps.inputs["Fac"])
    links.new(stones.outputs["Color"], gaps.inputs["Color2"])
    links.new(gaps.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    _bumped(made, rounding.outputs["Result"], bump)
    return made


def banded(
    below: Rgb,
    above: Rgb,
    edge: float,
    *,
    axis: str = "Z",
    blur: float = 0.1,
    wobble: float = 0.6,
    roughness: float = 0.9,
    bump: float = 0.03,
) -> bpy.types.Material:
    """One colour below a ragged edge along an axis, another above it: snow lines, shores, road verges.

    Axis "X" is measured from the middle, to both sides."""
    made = b.material(below, roughness=roughness)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates, split = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeSeparateXYZ")
    ragged, middle = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeMath")
    scaled, total = nodes.new("ShaderNodeMath"), nodes.new("ShaderNodeMath")
    step, mix, fine = (
        nodes.new("ShaderNodeMapRange"),
        nodes.new("ShaderNodeMixRGB"),
        nodes.new("ShaderNodeMixRGB"),
    )
    ragged.inputs["Scale"].default_value, ragged.inputs["Detail"].default_value = 3.0, 8.0
    middle.operation = "ABSOLUTE"
    scaled.operation, scaled.inputs[1].default_value = "MULTIPLY_ADD", wobble
    scaled.inputs[2].default_value = -wobble / 2
    step.inputs["From Min"].default_value, step.inputs["From Max"].default_value = edge - blur, edge + blur
    mix.inputs["Color1"].default_value, mix.inputs["Color2"].default_value = (*below, 1), (*above, 1)
    fine.blend_type, fine.inputs["Fac"].default_value = "OVERLAY", 0.7
    links.new(coordinates.outputs["Object"], split.inputs["Vector"])
    links.new(coordinates.outputs["Object"], ragged.inputs["Vector"])
    links.new(ragged.outputs["Fac"], scaled.inputs[0])
    links.new(split.outputs[axis], middle.inputs[0])
    links.new((middle if axis == "X" else split).outputs[0 if axis == "X" else axis], total.inputs[0])
    links.new(scaled.outputs[0], total.inputs[1])
    links.new(total.outputs[0], step.inputs["Value"])
    links.new(step.outputs["Result"], mix.inputs["Fac"])
    links.new(mix.outputs["Color"], fine.inputs["Color1"])
    links.new(ragged.outputs["Fac"], fine.inputs["Color2"])
    links.new(fine.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    _bumped(made, ragged.outputs["Fac"], bump)
    return made


# Shapes and scattering --------------------------------------------------------------------------------------


def plain(
    look: bpy.types.Material, z: float = 0.0, *, reach: float = 60.0, near: float = -8.0
) -> bpy.types.Object:
    """Level ground from `near` towards the horizon."""
    return b.mesh(
        look, [(-reach, near, z), (reach, near, z), (reach, reach, z), (-reach, reach, z)], [(0, 1, 2, 3)]
    )


def terrain(
    look: bpy.types.Material,
    height: Callable[[float, float], float],
    xs: tuple[float, float],
    ys: tuple[float, float],
    cells: int = 70,
) -> bpy.types.Object:
    """A smooth grid whose height is a function of x and y."""
    side = cells + 1
    points = [
        (xs[0] + (xs[1] - xs[0]) * i / cells, ys[0] + (ys[1] - ys[0]) * j / cells)
        for j in range(side)
        for i in range(side)
    ]
    faces = [
        (j * side + i, j * side + i + 1, (j + 1) * side + i + 1, (j + 1) * side + i)
        for j in range(cells)
        for i in range(cells)
    ]
    return b.mesh(look, [(x, y, height(x, y)) for x, y in points], faces, smooth=True)


def rolling(
    rng: random.Random, amount: float, scale: Sequence[float] = (1.0, 1.0), still: float = 0.0
) -> Callable[[float, float], float]:
    """Noise as a height, flattened within the radius `still` of the origin."""
    shift = rng.uniform(-50, 50)

    def height(x: float, y: float) -> float:
        calm = min(1.0, max(0.0, (math.hypot(x, y) - still) / 0.8)) if still else 1.0
        return amount * calm * noise.noise(Vector((x * scale[0], y * scale[1], shift)))

    return height


def joined(parts: Sequence[bpy.types.Object]) -> bpy.types.Object:
    """The meshes as one object at the origin, each part in its material."""
    bpy.ops.object.select_all(action="DESELECT")
    for part in parts:
        part.select_set(True)
    bpy.context.view_layer.objects.active = parts[0]
    if len(parts) > 1:
        bpy.ops.object.join()
    bpy.ops.object.transform_apply()
    return bpy.context.object


def copies(made: bpy.types.Object, spots: Iterable[Spot]) -> None:
    """Moves the object to the first spot and copies, sharing its mesh, to the others."""
    for x, y, z, scale, turn in spots:
        twin = made.copy()
        twin.location, twin.scale, twin.rotation_euler = (x, y, z), (scale,) * 3, (0, 0, turn)
        bpy.context.collection.objects.link(twin)
    bpy.data.objects.remove(made)


def scatter(
    rng: random.Random,
    count: int,
    xs: tuple[float, float],
    ys: tuple[float, float],
    *,
    size: tuple[float, float] = (0.8, 1.2),
    clear: float = 0.85,
    z: float = 0.0,
) -> list[Spot]:
    """Random spots outside the radius `clear` around the thing."""
    found: list[Spot] = []
    while len(found) < count:
        x, y = rng.uniform(*xs), rng.uniform(*ys)
        if math.hypot(x, y) > clear:
            found.append((x, y, z, rng.uniform(*size), rng.uniform(0, 2 * math.pi)))
    return found


def pieces(
    rng: random.Random,
    looks: Sequence[bpy.types.Material],
    middles: Iterable[Sequence[float]],
    size: float,
    *,
    tilt: float = 1.5,
    slim: float = 0.6,
) -> bpy.types.Object:
    """One mesh of leaves (kites) at the points, in random directions and materials; `tilt` from level."""
    vertices: list[Vector] = []
    for middle in middles:
        turn = Matrix.Rotation(rng.uniform(0, 6.3), 3, "Z") @ Matrix.Rotation(rng.gauss(0, tilt), 3, "X")
        length = size * rng.uniform(0.7, 1.3)
        for x, y in ((0, -length), (slim * length, 0), (0, length), (-slim * length, 0)):
            vertices.append(Vector(middle) + turn @ Vector((x, y, 0)))
    made = b.mesh(looks[0], vertices, [(i, i + 1, i + 2, i + 3) for i in range(0, len(vertices), 4)])
    return _mixed(rng, made, looks)


def blades(
    rng: random.Random,
    looks: Sequence[bpy.types.Material],
    feet: Iterable[Sequence[float]],
    height: float,
    width: float,
    lean: float = 0.4,
) -> bpy.types.Object:
    """One mesh of pointed blades growing at the feet: grass, straw, shag."""
    vertices: list[Vector] = []
    for foot in feet:
        angle, tall = rng.uniform(0, 6.3), height * rng.uniform(0.6, 1.2)
        side = Vector((math.cos(angle), math.sin(angle), 0)) * width / 2
        tip = Vector((rng.gauss(0, lean), rng.gauss(0, lean), 1)) * tall
        vertices += [Vector(foot) - side, Vector(foot) + side, Vector(foot) + tip]
    made = b.mesh(looks[0], vertices, [(i, i + 1, i + 2) for i in range(0, len(vertices), 3)])
    return _mixed(rng, made, looks)


def _mixed(
    rng: random.Random, made: bpy.types.Object, looks: Sequence[bpy.types.Material]
) -> bpy.types.Object:
    for look in looks[1:]:
        made.data.materials.append(look)
    made.data.polygons.foreach_set("material_index", [rng.randrange(len(looks)) for _ in made.data.polygons])
    return made


def foliage(
    rng: random.Random,
    looks: Sequence[bpy.types.Material],
    at: Sequence[float],
    radius: Sequence[float],
    count: int = 260,
    size: float = 0.08,
) -> bpy.types.Object:
    """A crown or bush of leaves around a dark core."""
    shell = []
    for _ in range(count):
        way = Vector([rng.gauss(0, 1) for _ in range(3)]).normalized() * rng.uniform(0.75, 1.08)
        shell.append(Vector(at) + Vector([w * r for w, r in zip(way, radius, strict=True)]))
    core = b.ball(looks[0], at, [0.85 * r for r in radius], segments=12)
    return joined([core, pieces(rng, looks, shell, size)])


def tree(
    rng: random.Random,
    bark: bpy.types.Material,
    looks: Sequence[bpy.types.Material],
    height: float = 2.2,
    crown: float = 0.7,
) -> bpy.types.Object:
    """A trunk with three overlapping crowns."""
    parts = [b.cone(bark, (0, 0, height * 0.3), 0.12, 0.07, height * 0.6, sides=10)]
    for _ in range(3):
        spread = crown * 0.5
        at = (
            rng.uniform(-spread, spread),
            rng.uniform(-spread, spread),
            height * 0.7 + rng.uniform(-0.2, 0.25),
        )
        parts.append(foliage(rng, looks, at, (crown * 0.75, crown * 0.75, crown * 0.62), 220, 0.09))
    return joined(parts)


def lawn(
    rng: random.Random,
    *,
    z: float = 0.0,
    count: int = 1800,
    height: float = 0.09,
    tones: Sequence[str] = GREENS,
) -> None:
    """Mown grass: a green ground and blades around the thing."""
    plain(mottled(rng, tones[1], tones[0], scale=5, bump=0.05), z)
    looks = [flat(rng, srgb, roughness=0.7) for srgb in tones]
    feet = ((x, y, z) for x, y, *_ in scatter(rng, count, (-1.8, 1.8), (-1.5, 2.6), clear=0.25))
    blades(rng, looks, feet, height, 0.022)


def bushes(
    rng: random.Random,
    tones: Sequence[str],
    count: int,
    ys: tuple[float, float] = (3.0, 4.5),
    size: tuple[float, float] = (0.7, 1.3),
) -> None:
    looks = [flat(rng, srgb, roughness=0.7) for srgb in tones]
    bush = foliage(rng, looks, (0, 0, 0.3), (0.6, 0.5, 0.42), 300)
    copies(
        bush,
        [
            (x + rng.uniform(-0.2, 0.2), rng.uniform(*ys), 0, rng.uniform(*size), rng.uniform(0, 6))
            for x in (8 * (i + 0.5) / count - 4 for i in range(count))
        ],
    )


def block(
    look: bpy.types.Material,
    at: Sequence[float],
    size: Sequence[float],
    turn: Sequence[float] = (0, 0, 0),
    bevel: float = 0.0,
) -> bpy.types.Object:
    """`blend.box` without its operator, whose cost grows with the scene: streets have hundreds of boxes."""
    if bevel:
        return b.box(look, at, size, turn, bevel)
    corners = [
        (x * size[0] / 2, y * size[1] / 2, z * size[2] / 2) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)
    ]
    made = b.mesh(
        look, corners, [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    )
    made.location, made.rotation_euler = at, [math.radians(a) for a in turn]
    return made


def wall(
    look: bpy.types.Material, at: Sequence[float], width: float, height: float, depth: float = 0.1
) -> bpy.types.Object:
    """An upright slab, its texture in the wall's plane; `at` is the middle of its foot's front edge."""
    return block(
        look, (at[0], at[1] + depth / 2, at[2] + height / 2), (width, height, depth), turn=(90, 0, 0)
    )


# Lights -----------------------------------------------------------------------------------------------------


def clouds(rng: random.Random, rgb: Rgb, amount: float) -> None:
    """Mixes drifting clouds into the sky; `amount` 0 to 1."""
    tree_ = bpy.context.scene.world.node_tree
    nodes, links = tree_.nodes, tree_.links
    background = next(n for n in nodes if n.type == "BACKGROUND")
    plain_sky = background.inputs["Color"].links[0].from_socket
    coordinates, stretch = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    puffs, step, mix = (
        nodes.new("ShaderNodeTexNoise"),
        nodes.new("ShaderNodeMapRange"),
        nodes.new("ShaderNodeMixRGB"),
    )
    stretch.inputs["Scale"].default_value = (1, 1, 3)
    stretch.inputs["Location"].default_value = [rng.uniform(-9, 9) for _ in range(3)]
    puffs.inputs["Scale"].default_value, puffs.inputs["Detail"].default_value = 3.5, 5.0
    step.inputs["From Min"].default_value, step.inputs["From Max"].default_value = 0.62 - 0.2 * amount, 0.72
    mix.inputs["Color2"].default_value = (*rgb, 1)
    links.new(coordinates.outputs["Generated"], stretch.inputs["Vector"])
    links.new(stretch.outputs["Vector"], puffs.inputs["Vector"])
    links.new(puffs.outputs["Fac"], step.inputs["Value"])
    links.new(step.outputs["Result"], mix.inputs["Fac"])
    links.new(plain_sky, mix.inputs["Color1"])
    links.new(mix.outputs["Color"], background.inputs["Color"])


def stars(rng: random.Random, count: int, size: float = 0.09) -> None:
    ways = [
        Vector((rng.gauss(0, 1), rng.uniform(0.3, 2), rng.uniform(0, 0.9))).normalized() * 45
        for _ in range(count)
    ]
    pieces(rng, [b.material((1, 0.97, 0.9), emission=4.0)], ways, size, slim=1.0)


def outdoors(
    rng: random.Random,
    light: str,
    *,
    horizon: str = "#b9d4ee",
    zenith: str = "#3f7fd0",
    cloud: float = 0.5,
    gain: float = 1.0,
) -> None:
    """Sky, sun or moon; horizon and zenith are the day's; `gain` dims the light of bright grounds."""
    side = rng.choice((-1, 1))
    if light == "day":
        b.sky(tone(rng, horizon, 0.06), tone(rng, zenith, 0.1), 0.85 * gain)
        clouds(rng, (0.85, 0.87, 0.9), cloud * rng.uniform(0.3, 1.3))
        b.sun(side * rng.uniform(25, 65), rng.uniform(35, 55), 2.6 * gain, (1, 0.96, 0.88))
    elif light == "sunset":
        b.sky(tone(rng, "#ffac5e"), tone(rng, "#6a5a94"), 0.6 * gain)
        clouds(rng, tone(rng, "#f08a70"), 0.7)
        b.sun(side * rng.uniform(45, 75), rng.uniform(12, 22), 3.0 * gain, (1, 0.66, 0.38))
    elif light == "night":
        b.sky(tone(rng, "#1d2a4a"), tone(rng, "#080d20"), 0.8)
        stars(rng, 120)
        b.sun(-side * 40, 45, 0.35, (0.55, 0.7, 1.0))
        b.lamp((side * 1.1, -2.0, 2.3), 46 * gain, (1.0, 0.86, 0.68), 0.7)
    else:
        b.sky(tone(rng, "#c3c8ce", 0.05), tone(rng, "#a9b0b8", 0.05), 0.95 * gain)
        clouds(rng, (0.42, 0.44, 0.48), 0.8)
        b.sun(side * 40, 60, 0.7 * gain, (1, 1, 1), softness=60)


def indoors(rng: random.Random, light: str, gain: float = 1.0) -> float:
    """Window light, low sun, a warm lamp or soft grey; returns the side, -1 or 1, from which it comes."""
    side = rng.choice((-1, 1))
    if light == "day":
        b.sky((0.5, 0.55, 0.62), (0.5, 0.55, 0.62), 0.7 * gain)
        b.lamp((side * 2.2, -1.3, 2.4), rng.uniform(75, 95) * gain, (1, 0.98, 0.94), 1.4)
    elif light == "sunset":
        b.sky((0.5, 0.34, 0.3), (0.3, 0.25, 0.35), 0.45 * gain)
        b.sun(side * rng.uniform(45, 65), rng.uniform(18, 28), 2.6 * gain, (1, 0.66, 0.38))
    elif light == "night":
        b.sky((0.03, 0.035, 0.06), (0.03, 0.035, 0.06), 0.6)
        b.lamp((side * 1.4, -1.5, 1.9), 36 * gain, (1.0, 0.7, 0.42), 0.4)
    else:
        b.sky((0.62, 0.65, 0.7), (0.72, 0.75, 0.8), 0.75 * gain)
        b.lamp((side * 2.2, -1.3, 2.6), 28 * gain, (0.9, 0.95, 1), 2.0)
    return side


def room(
    rng: random.Random,
    floor: bpy.types.Material,
    paint: bpy.types.Material,
    distance: float,
    *,
    z: float = 0.0,
) -> None:
    """A floor, a wall and its white skirting."""
    block(floor, (0, 2, z - 0.05), (16, 12, 0.1))
    wall(paint, (0, distance, z), 16, 5)
    wall(flat(rng, "#e8e4da", roughness=0.4), (0, distance - 0.04, z), 16, 0.2, 0.05)


# Nature -----------------------------------------------------------------------------------------------------


def jungle(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#bcc8b4", zenith="#a0b4a4", cloud=0.0)
    plain(mottled(rng, "#2a2412", "#4a5a22", scale=4, bump=0.06))
    wall(mottled(rng, "#0c2410", "#2f6a28", scale=2.5), (0, 5.2, 0), 24, 7)
    greens = [flat(rng, srgb, roughness=0.35, coat=0.3) for srgb in ("#2c7a2c", "#1d5a24", "#4d9a35")]
    plants = [palm_crown(rng, look, 8, 0.75) for look in greens]
    for plant in plants:
        copies(
            plant,
            scatter(rng, 8, (-3, 3), (1.3, 4.2), size=(0.8, 1.6))
            + [
                (
                    side * rng.uniform(1.1, 1.7),
                    rng.uniform(0.2, 1.0),
                    0,
                    rng.uniform(0.6, 0.9),
                    rng.uniform(0, 6),
                )
                for side in (-1, 1)
            ],
        )
    bark = mottled(rng, "#3a2a1a", "#6a5236", scale=8, bump=0.05)
    for _ in range(6):
        x, y = rng.uniform(-2.8, 2.8), rng.uniform(2.6, 4.6)
        b.cone(bark, (x, y, 2.5), rng.uniform(0.1, 0.2), 0.1, 5, sides=10)
        b.tube(greens[1], [(x + 0.2, y - 0.2, 3), (x + 0.4, y - 0.3, 1.4), (x + 0.9, y - 0.2, 2.8)], 0.025)
    return 0.0


def palm_crown(
    rng: random.Random, look: bpy.types.Material, count: int, length: float, droop: float = 0.55
) -> bpy.types.Object:
    """Arching broad leaves from one foot."""
    vertices: list[Vector] = []
    faces: list[tuple[int, ...]] = []
    for i in range(count):
        angle = 2 * math.pi * (i + rng.uniform(-0.3, 0.3)) / count
        reach, out = length * rng.uniform(0.75, 1.2), Vector((math.cos(angle), math.sin(angle), 0))
        across, first = Vector((-out.y, out.x, 0)), len(vertices)
        for t, width in ((0, 0.02), (0.25, 0.08), (0.5, 0.17), (0.75, 0.13), (1.0, 0.0)):
            middle = out * reach * t + Vector((0, 0, reach * (1.6 * t - 1.6 * droop * 1.6 * t * t)))
            vertices += [
                middle - across * width * length * 1.3 + Vector((0, 0, 0.3 * width)),
                middle,
                middle + across * width * length * 1.3 + Vector((0, 0, 0.3 * width)),
            ]
        faces += [
            (first + 3 * j + k, first + 3 * j + k + 1, first + 3 * j + k + 4, first + 3 * j + k + 3)
            for j in range(4)
            for k in range(2)
        ]
    return b.mesh(look, vertices, faces)


def snow(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#dfe8f0", zenith="#a8c2de", cloud=0.4, gain=0.78)
    white = mottled(rng, "#dde6f2", "#f2f5f8", scale=2, bump=0.05, roughness=0.5)
    terrain(white, rolling(rng, 0.16, (0.9, 0.9), still=0.5), (-9, 9), (-4, 14))
    plain(white, -0.25)
    green = flat(rng, "#1e4a38")
    for variant in range(2):
        parts = [b.cone(flat(rng, "#4a3322"), (0, 0, 0.15), 0.09, 0.08, 0.4, sides=8)]
        for i in range(4):
            wide, z = 0.62 - 0.14 * i, 0.42 + 0.36 * i
            parts.append(b.cone(green, (0, 0, z), wide, 0.08, 0.5, sides=11 + variant))
            parts.append(b.cone(white, (0.02, -0.03, z + 0.1), wide * 0.8, 0.03, 0.42, sides=9))
        copies(
            joined(parts),
            [
                (
                    rng.uniform(-3.2, 3.2),
                    rng.uniform(2.2, 5.5),
                    -0.05,
                    rng.uniform(0.5, 1.1),
                    rng.uniform(0, 6),
                )
                for _ in range(7)
            ],
        )
    return 0.05


def beach(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#a8d0ee", zenith="#2f78d0", cloud=0.4, gain=0.92)
    shore = rng.uniform(1.3, 1.8)
    sand = mottled(rng, "#cfae74", "#e6cc98", scale=14, bump=0.03)
    bank = rolling(rng, 0.06, (2.5, 2.5), still=0.4)
    terrain(sand, lambda x, y: bank(x, y) - 0.12 * max(0.0, y - shore + 0.7), (-6, 6), (-4, shore + 2))
    wave = rolling(rng, 0.05, (1.2, 4.0))
    sea = banded(
        tone(rng, "#3fb5b8"),
        tone(rng, "#1a6aa8"),
        shore + 1.6,
        axis="Y",
        blur=1.2,
        roughness=0.15,
        bump=0.004,
    )
    terrain(sea, lambda x, y: wave(x, y) - 0.06, (-14, 14), (shore - 0.5, shore + 14))
    plain(flat(rng, "#1f6aa6", roughness=0.15), -0.08, near=shore + 12)
    foam = flat(rng, "#e8f0f0")
    for line in (0.0, 0.9):
        middles = [
            (x / 20, shore + line + 0.12 * math.sin(x / 17 + line) + rng.gauss(0, 0.05), -0.03 + 0.02 * line)
            for x in range(-90, 90)
        ]
        pieces(rng, [foam], middles, 0.09, tilt=0.05)
    side = rng.choice((-1, 1))
    parasol(rng, (side * rng.uniform(1.4, 1.7), rng.uniform(0.9, 1.3), 0))
    return 0.0


def parasol(rng: random.Random, at: Sequence[float]) -> None:
    """A sunshade of alternating white and coloured panels."""
    x, y, z = at
    b.cone(flat(rng, "#efe8dc"), (x, y, z + 0.6), 0.02, 0.02, 1.3, sides=8)
    shade = b.cone(
        flat(rng, rng.choice(("#d8402f", "#2f7fd0", "#f0b428"))), (x, y, z + 1.25), 0.75, 0.02, 0.35, sides=12
    )
    shade.data.materials.append(flat(rng, "#efe8dc"))
    for i, face in enumerate(shade.data.polygons):
        face.material_index = i % 2


def mountain(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#b8d2ec", zenith="#3a74c4", cloud=0.5)
    lawn(rng, tones=("#7d9140", "#5c7a34", "#93a552"), count=900, height=0.07)
    peaks = [
        (rng.uniform(-1.6, -0.7), 7.0, rng.uniform(1.8, 2.2)),
        (rng.uniform(0.9, 1.9), 7.6, rng.uniform(1.6, 2.1)),
        (rng.uniform(3.2, 4.2), 8.2, 2.1),
        (rng.uniform(-4.6, -3.4), 8.0, 1.9),
    ]
    shift = rng.uniform(-50, 50)

    def height(x: float, y: float) -> float:
        rise = max(top - 0.85 * math.hypot(x - px, 0.8 * (y - py)) for px, py, top in peaks)
        crag = noise.fractal(Vector((x * 1.4, y * 1.4, shift)), 1.0, 2.0, 5)
        return max(-0.1, rise + 0.28 * crag * min(1.0, max(0.0, rise + 0.4)))

    rock = banded(tone(rng, "#5f6470"), (0.85, 0.88, 0.93), rng.uniform(0.75, 0.95), blur=0.08, wobble=0.9)
    terrain(rock, height, (-7, 7), (3.8, 11), cells=90).data.shade_flat()
    stone = b.ball(mottled(rng, "#5c5a58", "#8e8b86", scale=5, bump=0.06), radius=1, segments=8)
    stone.data.shade_flat()
    copies(stone, scatter(rng, 12, (-2.4, 2.4), (1.0, 3.6), size=(0.08, 0.24), clear=1.1))
    return 0.0


def forest(rng: random.Random, z: float) -> None:
    """Soil with litter, tall trunks and dark undergrowth."""
    plain(mottled(rng, "#2e2416", "#57592a", scale=4, bump=0.06), z)
    wall(mottled(rng, "#10200e", "#3c5a2a", scale=1.6), (0, 6.5, z), 26, 8)
    bark = mottled(rng, "#38291b", "#6e563c", scale=9, bump=0.05)
    trunk = joined(
        [
            b.cone(bark, (0, 0, 2.4), 0.2, 0.13, 5, sides=12),
            b.cone(bark, (0, 0, 0.1), 0.3, 0.18, 0.3, sides=12),
        ]
    )
    copies(
        trunk,
        [
            (x + rng.uniform(-0.3, 0.3), rng.uniform(1.8, 5.2), z, rng.uniform(0.6, 1.2), 0)
            for x in (i * 0.62 - 4 for i in range(14))
        ],
    )
    greens = [flat(rng, srgb) for srgb in ("#2c5a24", "#4a7a2e", "#3a6a2a")]
    copies(
        palm_crown(rng, greens[1], 11, 0.35),
        scatter(rng, 22, (-3, 3), (1.5, 4.5), size=(0.6, 1.4), z=z, clear=1.5),
    )
    litter = [flat(rng, srgb) for srgb in ("#6a4a26", "#86602e", "#4a5a26")]
    pieces(
        rng,
        litter,
        [(x, y, z + 0.02) for x, y, *_ in scatter(rng, 300, (-2.5, 2.5), (-1.6, 4))],
        0.05,
        tilt=0.3,
    )


def purple_rug(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#c4c8b8", zenith="#a4b0a0", cloud=0.0)
    forest(rng, -0.04)
    purple, pale = tone(rng, "#6a2a9a"), flat(rng, "#c8a0dc")
    wide, deep = rng.uniform(1.5, 1.8), rng.uniform(1.3, 1.5)
    cloth = b.textured("NOISE", darker(purple, 0.75), purple, scale=60, contrast=3, bump=0.01, roughness=1.0)
    block(cloth, (0, 0, -0.02), (wide, deep, 0.04), bevel=0.015)
    for side in (-1, 1):
        block(pale, (0, side * (deep / 2 - 0.1), -0.0185), (wide - 0.14, 0.035, 0.04))
        block(pale, (side * (wide / 2 - 0.1), 0, -0.0187), (0.035, deep - 0.17, 0.04))
        feet = [(side * wide / 2, y / 30 * deep / 2, -0.02) for y in range(-29, 30)]
        fringe = blades(rng, [pale], feet, 0.02, 0.02)
        for i, corner in enumerate(fringe.data.vertices):
            corner.co.x += side * 0.09 * (i % 3 == 2)
    return 0.0


def wheat_field(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#b4d2ee", zenith="#3a7ccc", cloud=0.6)
    plain(mottled(rng, "#9a7430", "#c89c48", scale=9, bump=0.06))
    golds = [flat(rng, srgb, roughness=0.7) for srgb in ("#d8a83c", "#e8c05c", "#bc8a2c")]
    clumps = []
    for _ in range(2):
        stalks, ears = [], []
        for _ in range(14):
            x, y, tall = rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.16), rng.uniform(0.5, 0.75)
            stalks.append((x, y, 0))
            ears.append(
                b.ball(
                    golds[rng.randrange(2)],
                    (x * 1.3, y * 1.3, tall),
                    (0.018, 0.018, 0.07),
                    (rng.uniform(-25, 25), rng.uniform(-25, 25), 0),
                    segments=6,
                )
            )
        clumps.append(joined([blades(rng, golds, stalks, 0.7, 0.02, 0.12), *ears]))
    for clump in clumps:
        copies(
            clump,
            scatter(rng, 150, (-3.2, 3.2), (0.9, 4.5), size=(0.75, 1.05))
            + [
                spot
                for spot in scatter(rng, 50, (-2.4, 2.4), (-0.4, 0.9), size=(0.7, 0.95))
                if abs(spot[0]) > 1.0
            ],
        )
    feet = [(x, y, 0) for x, y, *_ in scatter(rng, 500, (-1.6, 1.6), (-1.6, 1.0), clear=0.5)]
    blades(rng, golds, feet, 0.07, 0.02, 0.7)
    terrain(golds[0], lambda x, y: 0.5 + rng.uniform(-0.05, 0.08), (-12, 12), (4.4, 16), cells=60)
    return 0.0


def autumn(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#d4dce0", zenith="#7fa8d0", cloud=0.6)
    plain(mottled(rng, "#5a4a22", "#7a7432", scale=5, bump=0.04))
    reds = [flat(rng, srgb, roughness=0.6) for srgb in ("#c8501c", "#e0882a", "#a8301a", "#ecb43a")]
    fallen = [(x, y, 0.015) for x, y, *_ in scatter(rng, 900, (-2.6, 2.6), (-1.7, 4.5), clear=0.3)]
    pieces(rng, reds, fallen, 0.06, tilt=0.3, slim=0.7)
    bark = mottled(rng, "#33261c", "#5e4a38", scale=9, bump=0.04)
    side = rng.choice((-1, 1))
    trees = [tree(rng, bark, reds[i:] + reds[:i], 2.1, 0.8) for i in (0, 1, 3)]
    spots = (
        (side * rng.uniform(0.7, 1.0), rng.uniform(2.3, 2.8)),
        (-side * rng.uniform(1.0, 1.5), 3.6),
        (side * 2.4, 4.2),
    )
    for made, (x, y) in zip(trees, spots, strict=True):
        made.location = (x, y, 0)
    bushes(rng, ("#a8642a", "#c8862e", "#7a6a2c"), 7, (5.0, 6.0))
    return 0.0


def sunflowers(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#b4d4f0", zenith="#3a80d4", cloud=0.5)
    lawn(rng, tones=("#5c9a2c", "#3f7d22", "#78b03c"), height=0.11)
    yellow, brown = flat(rng, "#f8c010"), mottled(rng, "#2c180a", "#5c3a18", scale=30)
    green = flat(rng, "#3f8028")
    heads = []
    for _ in range(2):
        petals = [
            Vector((0.16 * math.cos(i * 0.39), -0.02 * (i % 2), 0.16 * math.sin(i * 0.39))) for i in range(16)
        ]
        vertices = []
        for p in petals:
            across = Vector((-p.z, 0, p.x)) * 0.3
            vertices += [
                p * 0.5 - across,
                p * 0.5 + across,
                p * 1.2 + across * 0.8,
                p * 1.55,
                p * 1.2 - across * 0.8,
            ]
        crown = b.mesh(yellow, vertices, [tuple(range(i, i + 5)) for i in range(0, len(vertices), 5)])
        crown.rotation_euler, crown.location = (math.radians(rng.uniform(-30, -12)), 0, 0), (0, -0.04, 0.9)
        parts = [
            b.cone(green, (0, 0.02, 0.45), 0.022, 0.02, 0.9, sides=6),
            crown,
            b.ball(brown, (0, -0.05, 0.9), (0.115, 0.05, 0.115), (-20, 0, 0), segments=14),
        ]
        leaf = [(rng.choice((-1, 1)) * 0.12, 0, z) for z in (0.25, 0.4, 0.55, 0.65)]
        parts.append(pieces(rng, [green], leaf, 0.15, tilt=0.5))
        heads.append(joined(parts))
    for head in heads:
        spots = scatter(rng, 20, (-2.6, 2.6), (1.0, 3.8), size=(0.7, 1.25)) + [
            (side * rng.uniform(0.95, 1.5), rng.uniform(0.2, 0.9), 0, rng.uniform(0.5, 0.8), 0)
            for side in (-1, 1)
        ]
        copies(head, [(x, y, z, scale, rng.uniform(-0.6, 0.6)) for x, y, z, scale, _ in spots])
    bushes(rng, GREENS, 8, (5, 6))
    return 0.02


def grass(rng: random.Random, light: str) -> float:
    outdoors(rng, light, cloud=0.9)
    lawn(rng, height=0.13, tones=("#5f9a30", "#437f26", "#7cb244"))
    bushes(rng, ("#2f6428", "#4a8434", "#3c7430"), 9, (3.2, 4.2))
    daisy, heart = flat(rng, "#f0f0ea"), flat(rng, "#f0c030")
    spots = [(x, y, 0.1) for x, y, *_ in scatter(rng, 50, (-2.2, 2.2), (-1.2, 3))]
    pieces(rng, [daisy, daisy, heart], spots, 0.028, tilt=0.3, slim=1.0)
    return 0.02


def dirt_road(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#c4d8e8", zenith="#5a92cc", cloud=0.7)
    rut, bend = rng.uniform(0.4, 0.48), rng.uniform(-0.02, 0.02)
    rough = rolling(rng, 0.04, (3, 3), still=0.3)

    def height(x: float, y: float) -> float:
        x -= bend * max(0.0, y) ** 2
        ruts = math.exp(-(((abs(x) - rut) / 0.08) ** 2))
        return rough(x, y) - 0.1 * ruts + 0.14 * min(1.0, max(0.0, (abs(x) - 0.8) / 0.3))

    brown = banded(tone(rng, "#9a6a3e"), tone(rng, "#5c8430"), 0.86, axis="X", blur=0.06, wobble=0.3)
    terrain(brown, height, (-4, 4), (-3, 12), cells=110)
    plain(mottled(rng, "#4a7228", "#668c36", scale=3), -0.1)
    looks = [flat(rng, srgb) for srgb in GREENS]
    feet = [
        (side * rng.uniform(0.9, 2.0) + bend * max(0.0, y) ** 2, y, 0.1)
        for side in (-1, 1)
        for y in (rng.uniform(-1.2, 4.5) for _ in range(700))
    ]
    blades(rng, looks, feet, 0.2, 0.03)
    bush = foliage(rng, looks, (0, 0, 0.3), (0.6, 0.5, 0.5), 300)
    copies(
        bush,
        [
            (side * rng.uniform(1.6, 3.6), y, 0.05, rng.uniform(0.7, 1.5), rng.uniform(0, 6))
            for side in (-1, 1)
            for y in (2.2, 3.6, 5, 6.5, 8)
        ],
    )
    return 0.0


def desert(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#e8d4b4", zenith="#5a92cc", cloud=0.0, gain=0.95)
    shift, slope = rng.uniform(-50, 50), rng.uniform(0.3, 0.8)
    sand = b.textured(
        "WAVE",
        tone(rng, "#c8803c"),
        tone(rng, "#dc9a54"),
        scale=2.2,
        bump=0.03,
        roughness=0.9,
        distortion=6.0,
        detail=2.0,
    )

    def height(x: float, y: float) -> float:
        crest = 1 - abs(noise.noise(Vector((x * 0.3 + slope * y * 0.2, y * 0.36, shift))) * 2)
        far = min(1.0, max(0.0, (y - 1.2) / 4))
        return far * (0.1 + 0.8 * max(0.0, crest) ** 1.5) - 0.02

    terrain(sand, height, (-9, 9), (-4, 12), cells=100)
    plain(sand, -0.1)
    return 0.03


# Liquids and the moon ---------------------------------------------------------------------------------------


def ripples(
    rng: random.Random, look: bpy.types.Material, amount: float, scale: Sequence[float], rings: float = 0.022
) -> None:
    """Waves to the horizon, with rings around the thing."""
    swell = rolling(rng, amount, scale, still=0.2)

    def height(x: float, y: float) -> float:
        r = math.hypot(x, y)
        return swell(x, y) + rings * math.cos(16 * r) * math.exp(-0.9 * r)

    terrain(look, height, (-7, 7), (-4, 10), cells=130)
    plain(look, -amount * 0.5, near=9.5)


def water(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#a9cbe6", zenith="#4a86c8", cloud=0.7)
    blue = b.textured(
        "NOISE",
        tone(rng, "#0a4468"),
        tone(rng, "#1c86a4"),
        scale=2.5,
        contrast=2,
        bump=0.03,
        roughness=0.12,
        detail=2.0,
    )
    ripples(rng, blue, 0.16, (1.2, 2.0))
    return 0.2


def milk(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#dce4ea", zenith="#76a4dc", cloud=0.0, gain=0.74)
    b.sun(rng.uniform(150, 210), 30, 0.15 if light == "night" else 1.0, (1, 0.95, 0.85))
    white = b.material((0.93, 0.86, 0.7), roughness=0.06, coat=1.0)
    ripples(rng, white, 0.3, (0.5, 0.8), rings=0.06)
    drop = b.ball(white, radius=1, segments=12)
    angles = [rng.uniform(-0.2, 3.3) for _ in range(14)]
    copies(
        drop,
        [
            (r * math.cos(a), r * math.sin(a), rng.uniform(0.1, 0.55), rng.uniform(0.025, 0.07), 0)
            for a, r in ((a, rng.uniform(0.85, 1.2)) for a in angles)
        ],
    )
    return 0.2


def moon(rng: random.Random, light: str) -> float:
    b.sky((0.004, 0.004, 0.005), (0.002, 0.002, 0.003), 1.0)
    side = rng.choice((-1, 1))
    rgb = {"sunset": (1, 0.75, 0.5), "night": (0.7, 0.8, 1)}.get(light, (1, 0.98, 0.94))
    b.sun(side * rng.uniform(40, 65), rng.uniform(22, 35), 1.6 if light == "night" else 3.4, rgb, 1.0)
    b.lamp((-side * 2, -2, 1.5), 9, (0.8, 0.88, 1), 1.5)
    stars(rng, 420)
    craters = [
        (x, y, s) for x, y, _, s, _ in scatter(rng, 42, (-3, 3), (-1.3, 4), size=(0.14, 0.5), clear=1.0)
    ]
    rough = rolling(rng, 0.05, (2, 2), still=0.3)

    def height(x: float, y: float) -> float:
        z = rough(x, y) - 0.04 * max(0.0, y - 1) ** 2
        for cx, cy, size in craters:
            t = math.hypot(x - cx, y - cy) / size
            if t < 1.6:
                z += size * (0.42 * (t * t - 1) if t < 1 else 0.0) + 0.13 * size * math.exp(
                    -(((t - 1.05) * 3.5) ** 2)
                )
        return z

    dust = mottled(rng, "#6f6e6c", "#96948f", scale=7, bump=0.015)
    terrain(dust, height, (-7, 7), (-3, 9), cells=110)
    if rng.random() < 0.6:
        earth = b.textured("NOISE", tone(rng, "#1a56b8"), (0.8, 0.85, 0.9), scale=2.2, contrast=4, detail=6.0)
        b.ball(earth, (rng.choice((-1, 1)) * rng.uniform(3, 5.5), 16, rng.uniform(0.4, 2.2)), 1.1)
    return 0.0


# Streets and buildings --------------------------------------------------------------------------------------


def lit(light: str) -> float:
    """How brightly windows glow."""
    return {"night": 1.3, "sunset": 0.35}.get(light, 0.0)


def window_pane(light: str, rng: random.Random) -> bpy.types.Material:
    glow = lit(light) if rng.random() < 0.75 else 0.0
    return flat(rng, "#f8c878", emission=glow) if glow else flat(rng, "#3a4c60", roughness=0.1)


def window(
    frame: bpy.types.Material, pane: bpy.types.Material, at: Sequence[float], width: float, height: float
) -> None:
    """A framed, barred window on a wall's front; `at` is its middle."""
    x, y, z = at
    block(frame, (x, y, z), (width + 0.1, 0.06, height + 0.1))
    block(pane, (x, y - 0.02, z), (width, 0.06, height))
    block(frame, (x, y - 0.03, z), (0.03, 0.06, height))
    block(frame, (x, y - 0.03, z), (width, 0.06, 0.03))


def facade(
    rng: random.Random, light: str, look: bpy.types.Material, at: Sequence[float], width: float
) -> None:
    """A town house: two storeys of windows, a door, a cornice."""
    x, y, z = at
    frame = flat(rng, "#e8e2d4")
    wall(look, at, width, 3.2, 0.5)
    door = rng.choice((-1, 1)) * width * 0.25
    block(
        flat(rng, rng.choice(("#3c2a1c", "#22503c", "#7a2420"))), (x + door, y, z + 0.42), (0.42, 0.06, 0.84)
    )
    window(frame, window_pane(light, rng), (x - door, y, z + 0.6), 0.42, 0.5)
    for side in (-1, 1):
        window(frame, window_pane(light, rng), (x + side * width * 0.25, y, z + 1.55), 0.38, 0.56)
    block(frame, (x, y, z + 1.08), (width, 0.08, 0.06))


def cobblestones(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#c8d8e8", zenith="#7aa8d8", cloud=0.4)
    plain(
        cobbles(
            tone(rng, "#a0968a"),
            tone(rng, "#70685f"),
            tone(rng, "#302a25"),
            scale=rng.uniform(6, 7.2),
            bump=0.05,
        )
    )
    plasters = ["#d8a860", "#c8694c", "#e0cfa8", "#8aa48a", "#b8746a", "#d0b890"]
    rng.shuffle(plasters)
    y = rng.uniform(3.0, 3.6)
    for i, srgb in enumerate(plasters[:5]):
        facade(
            rng,
            light,
            mottled(rng, srgb, srgb, scale=4, bump=0.02),
            ((i - 2) * 1.42, y + rng.uniform(0, 0.2), 0),
            1.42,
        )
    block(flat(rng, "#8c8478"), (0, y - 0.15, 0.04), (9, 0.5, 0.08))
    side, iron = rng.choice((-1, 1)), flat(rng, "#1c1e20", roughness=0.4)
    x, y = side * rng.uniform(1.15, 1.35), 1.5
    b.lathe(iron, [(0.09, 0), (0.07, 0.12), (0.03, 0.2), (0.025, 1.3), (0.08, 1.34)], (x, y, 0), sides=12)
    b.cone(flat(rng, "#f8d898", emission=0.3 + 2 * lit(light)), (x, y, 1.46), 0.07, 0.11, 0.22, sides=6)
    b.cone(iron, (x, y, 1.63), 0.14, 0.02, 0.12, sides=6)
    return 0.0


def skyscraper(rng: random.Random, light: str, at: Sequence[float], width: float, height: float) -> None:
    """A tower block with a grid of windows."""
    tone_, glass = rng.choice(
        (
            ("#8a9098", "#2c3e54"),
            ("#a89c8c", "#38404a"),
            ("#5c7086", "#86b0d0"),
            ("#b8b4ae", "#4a5a6c"),
            ("#7a5c50", "#2e3440"),
        )
    )
    panes = tone(rng, "#f4c070") if light == "night" else tone(rng, glass)
    other = darker(tone(rng, "#28303c")) if light == "night" else darker(tone(rng, glass), 1.5)
    frame = darker(tone(rng, tone_), 0.25) if light == "night" else tone(rng, tone_)
    grid = bricks(
        panes,
        other,
        frame,
        width=rng.choice((0.14, 0.18, 0.3)),
        height=rng.uniform(0.15, 0.22),
        gap=0.03,
        offset=0.0,
        grain=0.1,
        roughness=0.25,
        emission=0.45 if light == "night" else 0.0,
    )
    wall(grid, at, width, height, width)
    block(flat(rng, tone_), (at[0], at[1] + width / 2, height + 0.05), (width * 0.5, width * 0.5, 0.25))


def city(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#c4d4e4", zenith="#5a90d0", cloud=0.4)
    plain(mottled(rng, "#35363a", "#505154", scale=30, bump=0.01))
    paint = mottled(rng, "#c8c4b8", "#dcd8cc", scale=20)
    for x in (-0.95, 0.95):
        for y in range(-2, 5):
            block(paint, (x, y * 0.9 + 0.4, 0), (0.09, 0.5, 0.006))
    for row, (y, low, high) in enumerate(((4.0, 0.9, 1.7), (5.6, 1.6, 2.8), (7.5, 2.4, 3.6))):
        x = -4.5 - row
        while x < 4.5 + row:
            width = rng.uniform(0.6, 1.0)
            skyscraper(rng, light, (x + width / 2, y + rng.uniform(0, 0.4), 0), width, rng.uniform(low, high))
            x += width + rng.uniform(0.02, 0.25)
    block(flat(rng, "#9a9894"), (0, 3.6, 0.03), (14, 0.7, 0.06))
    return 0.0


def blue_house(rng: random.Random, light: str) -> float:
    outdoors(rng, light, cloud=0.7)
    lawn(rng, count=1200)
    path = bricks(tone(rng, "#b0a898"), tone(rng, "#958c7e"), tone(rng, "#5c5a4a"), width=0.32, height=0.24)
    side = rng.choice((-1, 1)) * rng.uniform(0.1, 0.4)
    y, wide = rng.uniform(2.6, 3.1), rng.uniform(2.1, 2.4)
    block(path, (side, 0.5, 0.005), (0.75, 2 * y - 1, 0.02))
    blue = tone(rng, rng.choice(("#2f6fc4", "#3a80c8", "#2858a8")))
    siding = bricks(
        blue, blue, darker(blue, 0.45), width=30, height=0.11, gap=0.012, grain=0.1, roughness=0.6
    )
    white = flat(rng, "#f0ece4")
    wall(siding, (side, y, 0), wide, 1.0, 1.5)
    b.prism(b.material(blue), [(-wide / 2, 1.0), (wide / 2, 1.0), (0, 1.7)], 1.4, (side, y + 0.72, 0))
    roof = flat(rng, rng.choice(("#5c4038", "#4a4a50", "#8a3c2c")))
    slope = math.degrees(math.atan2(0.7, wide / 2))
    for way in (-1, 1):
        block(
            roof,
            (side + way * wide / 4, y + 0.7, 1.38),
            (math.hypot(wide / 2, 0.7) + 0.2, 1.8, 0.08),
            (0, way * slope, 0),
        )
    block(white, (side, y, 0.4), (0.46, 0.06, 0.8))
    block(
        flat(rng, rng.choice(("#a83028", "#e8e4d8", "#5c3a20"))), (side, y - 0.02, 0.38), (0.36, 0.06, 0.74)
    )
    for way in (-1, 1):
        window(white, window_pane(light, rng), (side + way * wide * 0.31, y, 0.58), 0.38, 0.44)
        block(white, (side + way * (wide / 2 - 0.03), y, 0.5), (0.08, 0.05, 1.0))
    window(white, window_pane(light, rng), (side, y, 1.25), 0.24, 0.26)
    looks = [flat(rng, srgb) for srgb in GREENS]
    copies(
        foliage(rng, looks, (0, 0, 0.2), (0.4, 0.3, 0.25), 200, 0.06),
        [
            (side + way * d, y - 0.35, 0, rng.uniform(0.8, 1.2), rng.uniform(0, 6))
            for way in (-1, 1)
            for d in (0.75, 1.4, 2.3)
        ],
    )
    return 0.0


def struts(
    look: bpy.types.Material, lines: Sequence[tuple[Vector, Vector]], thickness: float
) -> bpy.types.Object:
    """One mesh of square bars along the lines."""
    vertices: list[Vector] = []
    faces: list[tuple[int, ...]] = []
    for start, end in lines:
        along = (end - start).normalized()
        u = along.orthogonal().normalized() * thickness / 2
        v = along.cross(u)
        first = len(vertices)
        vertices += [p + s for p in (start, end) for s in (u + v, v - u, -u - v, u - v)]
        faces += [(first + i, first + (i + 1) % 4, first + 4 + (i + 1) % 4, first + 4 + i) for i in range(4)]
    return b.mesh(look, vertices, faces)


def lattice_tower(look: bpy.types.Material, at: Sequence[float], height: float) -> None:
    """The Eiffel tower: four curved lattice legs that meet, platforms, an arch between the legs, a spire."""

    def half(t: float) -> float:
        return height * (0.19 * math.exp(-3.4 * t) + 0.012)

    levels = [0, 0.06, 0.12, 0.18, 0.25, 0.31, 0.37, 0.44, 0.51, 0.58, 0.65, 0.72, 0.79, 0.86, 0.92]
    lines = []

    def corner(t: float, sx: float, sy: float, inner: tuple[bool, bool]) -> Vector:
        leg = 0.085 * height * max(0.0, 1 - t / 0.5)
        w = half(t)
        wx, wy = (max(0.0, w - leg * (1.6 if i else 0)) for i in inner)
        return Vector((at[0] + sx * wx, at[1] + sy * wy, at[2] + t * height))

    for low, high in zip(levels, levels[1:], strict=False):
        for sx in (-1, 1):
            for sy in (-1, 1):
                rims = (
                    [(False, False), (True, False), (True, True), (False, True)]
                    if low < 0.45
                    else [(False, False)]
                )
                posts = [(corner(low, sx, sy, rim), corner(high, sx, sy, rim)) for rim in rims]
                lines += posts
                for (a, c), (d, e) in zip(posts, posts[1:] + posts[:1], strict=True):
                    lines += [(a, e), (d, c)] if a != d else []
        if low >= 0.44:
            for one, two in (((-1, -1), (1, -1)), ((-1, 1), (1, 1)), ((-1, -1), (-1, 1)), ((1, -1), (1, 1))):
                lines += [
                    (corner(low, *one, (False, False)), corner(high, *two, (False, False))),
                    (corner(low, *two, (False, False)), corner(high, *one, (False, False))),
                ]
    for sy in (-1, 1):
        arch = [
            Vector(
                (
                    at[0] + math.cos(a) * 0.13 * height,
                    at[1] + sy * half(0.1),
                    at[2] + 0.03 * height + math.sin(a) * 0.14 * height,
                )
            )
            for a in (math.pi * i / 10 for i in range(11))
        ]
        lines += list(zip(arch, arch[1:], strict=False))
    struts(look, lines, 0.014 * height)
    for t in (0.18, 0.37, 0.9):
        side = 2 * half(t) + 0.035 * height
        block(look, (at[0], at[1], at[2] + t * height), (side, side, 0.025 * height))
    b.cone(look, (at[0], at[1], at[2] + 0.965 * height), 0.018 * height, 0.002, 0.09 * height, sides=6)


def eiffel_tower(rng: random.Random, light: str) -> float:
    outdoors(rng, light, cloud=0.5)
    lawn(rng, count=1200)
    x, y, tall = rng.uniform(0.5, 0.85), rng.uniform(3.3, 3.9), rng.uniform(1.8, 2.2)
    gravel = mottled(rng, "#c4ac84", "#d8c49c", scale=25, bump=0.01)
    block(gravel, (x, 4.4, 0.005), (1.3, 6, 0.01))
    iron = flat(rng, "#e8a850", emission=0.7) if light == "night" else flat(rng, "#6a4c32")
    lattice_tower(iron, (x, y, 0), tall)
    bark, looks = flat(rng, "#4a3828"), [flat(rng, srgb) for srgb in GREENS]
    copies(
        tree(rng, bark, looks, 0.8, 0.3),
        [
            (x + way * d, y + e, 0, rng.uniform(0.8, 1.1), rng.uniform(0, 6))
            for way in (-1, 1)
            for d, e in ((1.1, -0.4), (1.4, 0.6), (1.9, 1.4))
        ],
    )
    bushes(rng, GREENS, 9, (7, 8))
    return 0.0


def person(rng: random.Random) -> bpy.types.Object:
    """A simple walking figure, 1.3 tall."""
    coat = flat(
        rng, rng.choice(("#2c3850", "#8a2c2c", "#c8a060", "#3a5a44", "#d8d4cc", "#54405c", "#3a70a8"))
    )
    trousers = flat(rng, rng.choice(("#22262e", "#3c4a64", "#5c5248")))
    skin, hair = (
        flat(rng, rng.choice(("#e0b090", "#8c5a3c", "#c89070"))),
        flat(rng, rng.choice(("#2a1c14", "#6a4424"))),
    )
    stride = rng.uniform(8, 22)
    return joined(
        [
            b.cone(trousers, (0.07, 0.0, 0.3), 0.06, 0.085, 0.62, (0, stride, 0), 8),
            b.cone(trousers, (-0.07, 0.0, 0.3), 0.06, 0.085, 0.62, (0, -stride, 0), 8),
            b.ball(coat, (0, 0, 0.82), (0.17, 0.12, 0.3), segments=12),
            b.cone(coat, (0.19, 0, 0.78), 0.04, 0.055, 0.46, (0, -14, 0), 8),
            b.cone(coat, (-0.19, 0, 0.78), 0.04, 0.055, 0.46, (0, 14, 0), 8),
            b.ball(skin, (0, 0, 1.2), (0.09, 0.1, 0.12), segments=12),
            b.ball(hair, (0, 0.02, 1.25), (0.1, 0.1, 0.1), segments=12),
        ]
    )


def parked_car(rng: random.Random, at: Sequence[float]) -> None:
    x, y, z = at
    coat = flat(
        rng, rng.choice(("#a82420", "#244a8c", "#c8c8c8", "#22262a", "#e0b020")), roughness=0.2, coat=1.0
    )
    dark = flat(rng, "#14161a", roughness=0.3)
    block(coat, (x, y, z + 0.32), (1.7, 0.7, 0.3), bevel=0.08)
    b.prism(dark, [(-0.55, 0.45), (0.55, 0.45), (0.35, 0.72), (-0.35, 0.72)], 0.62, (x, y, z), bevel=0.04)
    block(coat, (x, y, z + 0.73), (0.72, 0.62, 0.04), bevel=0.02)
    for way in (-0.5, 0.5):
        b.cone(dark, (x + way, y - 0.3, z + 0.16), 0.16, 0.16, 0.14, (90, 0, 0), 16)


def sidewalk(rng: random.Random, light: str) -> float:
    outdoors(rng, light, horizon="#d0d8e0", zenith="#90b4d8", cloud=0.4)
    slabs = bricks(
        tone(rng, "#a4a4a2"),
        tone(rng, "#8c8c8b"),
        tone(rng, "#4c4b4a"),
        width=0.62,
        height=0.62,
        gap=0.012,
        grain=0.2,
        grain_scale=(9, 9, 9),
        roughness=0.8,
    )
    edge = rng.uniform(1.9, 2.2)
    block(slabs, (0, edge / 2 - 3, -0.05), (16, edge + 6, 0.1))
    block(flat(rng, "#b4b2ae"), (0, edge + 0.05, -0.05), (16, 0.1, 0.11))
    plain(mottled(rng, "#34353a", "#4a4b4e", scale=20), -0.1)
    for x in (-1.6, 0.4, 2.4):
        parked_car(rng, (x + rng.uniform(-0.2, 0.2), edge + rng.uniform(0.6, 0.7), -0.1))
    xs = [-2.0, -1.35, -0.95, 0.95, 1.35, 2.0, -0.4]
    for i, x in enumerate(xs):
        figure = person(rng)
        figure.location = (
            x + rng.uniform(-0.15, 0.15),
            rng.uniform(1.2, 1.8) if i < 6 else rng.uniform(1.6, 1.85),
            0,
        )
        figure.rotation_euler = (0, 0, rng.uniform(-0.5, 0.5) + rng.choice((0, math.pi)))
        figure.scale = (rng.uniform(0.72, 0.88),) * 3
    brick = bricks(tone(rng, "#8a5040"), tone(rng, "#a06450"), tone(rng, "#b8a898"), width=0.3, height=0.1)
    wall(brick, (0, edge + 2.2, -0.1), 16, 5)
    for i in range(-3, 4):
        shop = (
            flat(rng, "#f8d8a0", emission=max(0.12, lit(light)))
            if i % 2
            else flat(rng, "#34506c", roughness=0.1)
        )
        block(shop, (i * 1.3, edge + 2.18, 0.55), (1.0, 0.06, 0.8))
        block(
            flat(rng, rng.choice(("#b82c28", "#2c6a4a", "#e8e0d0"))),
            (i * 1.3, edge + 2.0, 1.1),
            (1.1, 0.4, 0.1),
            (-25, 0, 0),
        )
    return 0.0


# Indoors ----------------------------------------------------------------------------------------------------


def planks(rng: random.Random, dark: str = "#7d4e28", light: str = "#a87040") -> bpy.types.Material:
    return bricks(
        tone(rng, dark),
        tone(rng, light),
        darker(tone(rng, dark), 0.25),
        width=1.9,
        height=rng.uniform(0.16, 0.22),
        gap=0.008,
        offset=0.37,
        grain=0.5,
        roughness=0.35,
    )


def pink_fabric(rng: random.Random, light: str) -> float:
    indoors(rng, light)
    pink = tone(rng, rng.choice(("#e87aa4", "#f08cb4", "#e0608e")), 0.08)
    cloth = b.material(pink, roughness=0.55)
    cloth.node_tree.nodes["Principled BSDF"].inputs["Sheen Weight"].default_value = 0.4
    shift, bend = rng.uniform(-50, 50), rng.uniform(1.1, 1.4)

    def fold(x: float, y: float) -> float:
        p = Vector((x * 0.9 + 0.5 * y, y * 0.9 - 0.3 * x, shift))
        crease = 1 - abs(noise.noise(p + 0.6 * noise.noise_vector(p * 1.3)) * 2)
        return 0.22 * max(0.0, crease) ** 2 * min(1.0, max(0.15, math.hypot(x, y) - 0.2))

    made = terrain(cloth, fold, (-4, 4), (-3, 5), cells=130)
    for corner in made.data.vertices:
        x, y, z = corner.co
        over, radius = y - bend, 0.6
        if over > 0:
            angle = min(over / radius, math.pi / 2)
            rest = max(0.0, over - radius * math.pi / 2)
            corner.co = (
                x,
                bend + (radius - z) * math.sin(angle),
                radius - (radius - z) * math.cos(angle) + rest,
            )
    return 0.0


def wooden_floor(rng: random.Random, light: str) -> float:
    indoors(rng, light)
    paint = rng.choice(("#d8cdb4", "#b8c4c0", "#c8b49c", "#a8b8c8"))
    room(rng, planks(rng), mottled(rng, paint, paint, scale=30, bump=0.003), rng.uniform(1.9, 2.6))
    return 0.0


def white_rug(rng: random.Random, light: str) -> float:
    side = indoors(rng, light)
    paint = rng.choice(("#5c7466", "#56687c", "#8c6a58"))
    room(rng, planks(rng, "#4c3020", "#6a4630"), mottled(rng, paint, paint, scale=20), 2.6, z=-0.1)
    pale = b.material((0.93, 0.9, 0.84), roughness=1.0)
    base = b.cone(b.material((0.85, 0.82, 0.76), roughness=1), (0, 0.15, -0.06), 1.4, 1.4, 0.08, sides=48)
    base.scale = (1.05, 0.95, 1)
    feet = []
    while len(feet) < 5200:
        x, y = rng.uniform(-1.5, 1.5), rng.uniform(-1.3, 1.55)
        if math.hypot(x / 1.08, y - 0.15) < 1.36:
            feet.append((x, y, -0.04))
    blades(rng, [pale, b.material((0.86, 0.83, 0.76), roughness=1.0)], feet, 0.075, 0.035, 0.7)
    cloth = mottled(rng, "#b08a4c", "#c89c58", scale=40)
    x, y = -side * rng.uniform(1.3, 1.6), 2.1
    block(cloth, (x, y, 0.2), (1.2, 0.8, 0.3), bevel=0.08)
    block(cloth, (x, y + 0.3, 0.6), (1.2, 0.25, 0.8), bevel=0.1)
    for way in (-1, 1):
        block(cloth, (x + way * 0.6, y, 0.35), (0.2, 0.8, 0.5), bevel=0.08)
    copies(palm_crown(rng, flat(rng, "#3a7a34"), 11, 0.6), [(-x * 1.05, 2.2, 0.35, 1, 0)])
    b.lathe(flat(rng, "#b4643c"), [(0.15, -0.1), (0.22, 0.35), (0.18, 0.35)], (-x * 1.05, 2.2, 0))
    return 0.05


def kitchen_table(rng: random.Random, light: str) -> float:
    indoors(rng, light, 0.9)
    oak = bricks(
        tone(rng, "#b98750"),
        tone(rng, "#cc9c62"),
        tone(rng, "#8a6034"),
        width=9,
        height=0.3,
        gap=0.004,
        grain=0.4,
        roughness=0.3,
    )
    block(oak, (0, -0.4, -0.04), (3.6, 3.0, 0.08), bevel=0.02)
    tile = rng.choice(("#e4e6e0", "#a8ccc8", "#d8e0e8", "#e8d8a8"))
    tiles = bricks(
        tone(rng, tile, 0.05),
        tone(rng, tile, 0.1),
        tone(rng, "#8a8c88"),
        width=0.3,
        height=0.3,
        gap=0.012,
        offset=0.0,
        grain=0.0,
        roughness=0.12,
        coat=0.5,
    )
    y = 2.3
    wall(tiles, (0, y, -2), 12, 7)
    block(flat(rng, "#6a7c8a"), (0, y - 0.3, -0.6), (8, 0.6, 1.0))
    block(flat(rng, "#3c3c40", roughness=0.2), (0, y - 0.3, -0.08), (8, 0.66, 0.06))
    block(planks(rng, "#8a5a30", "#9a6a3c"), (0, y - 0.14, 0.92), (5.0, 0.28, 0.05))
    jars = ("#c83c2c", "#e8b030", "#3a7a8c", "#f0ece0", "#7a9a3c", "#d87838")
    for i in range(-4, 5):
        r, tall, x = rng.uniform(0.09, 0.14), rng.uniform(0.18, 0.32), i * 0.42 + rng.uniform(-0.06, 0.06)
        b.lathe(
            flat(rng, rng.choice(jars), roughness=0.2),
            [(0, 0), (r, 0), (r, tall * 0.8), (r * 0.6, tall), (0, tall)],
            (x, y - 0.14, 0.945),
            sides=16,
        )
    steel = flat(rng, "#b0b4b8", roughness=0.2, metallic=0.9)
    side = rng.choice((-1, 1))
    pot = (side * rng.uniform(1.0, 1.4), y - 0.32, -0.05)
    b.lathe(steel, [(0, 0), (0.26, 0), (0.26, 0.28), (0.28, 0.29), (0.05, 0.36), (0.05, 0.4), (0, 0.4)], pot)
    b.lathe(
        flat(rng, "#e8ecf0", roughness=0.1),
        [(0, 0), (0.12, 0), (0.3, 0.14), (0.28, 0.14), (0.1, 0.04), (0, 0.04)],
        (-side * 1.05, 0.6, 0),
    )
    for i, srgb in enumerate(("#d8842c", "#c8302c", "#e8c838")):
        b.ball(
            flat(rng, srgb, roughness=0.3),
            (-side * 1.05 + 0.12 * math.cos(i * 2.1), 0.6 + 0.12 * math.sin(i * 2.1), 0.16),
            0.1,
            segments=14,
        )
    return 0.0


def bookshelf(rng: random.Random, light: str) -> float:
    indoors(rng, light)
    wood = bricks(
        tone(rng, "#7a4c28"),
        tone(rng, "#8a5a32"),
        tone(rng, "#4c2e18"),
        width=9,
        height=0.9,
        gap=0.004,
        grain=0.45,
        roughness=0.4,
    )
    block(wood, (0, -0.1, -0.05), (8, 3.2, 0.1))
    wall(wood, (0, 1.5, -0.1), 8, 4)
    spines = (
        "#a82c28",
        "#24508c",
        "#2c6a44",
        "#d8a030",
        "#5c2c5c",
        "#d8cdb4",
        "#1f7a80",
        "#c8602c",
        "#2a2c34",
        "#8c6a44",
    )
    looks = [flat(rng, srgb, roughness=0.5) for srgb in spines]
    gold = flat(rng, "#e0c070", roughness=0.3)
    step = rng.uniform(1.15, 1.3)
    for z in (0.0, step):
        if z:
            block(wood, (0, 1.15, z - 0.03), (8, 0.75, 0.07))
        x = -2.4
        while x < 2.4:
            thick, tall, front = rng.uniform(0.07, 0.17), rng.uniform(0.72, 1.02), 0.86 + rng.uniform(0, 0.06)
            block(rng.choice(looks), (x + thick / 2, front + 0.27, z + tall / 2), (thick * 0.94, 0.54, tall))
            for band in (0.15, 0.82):
                block(gold, (x + thick / 2, front + 0.2, z + tall * band), (thick * 0.96, 0.42, 0.03))
            x += thick
    return 0.0


def studio(rng: random.Random, light: str) -> float:
    indoors(rng, light, 0.9)
    paper = tone(rng, rng.choice(("#d8d6d2", "#d0d4d8", "#dcd4c8", "#c8ccce")), 0.06)
    back, radius = rng.uniform(1.4, 2.2), 1.0
    profile = (
        [(-8.0, 0.0)]
        + [
            (back + radius * math.sin(a), radius - radius * math.cos(a))
            for a in (math.pi / 2 * i / 12 for i in range(13))
        ]
        + [(back + radius, 8.0)]
    )
    vertices = [(x, y, z) for y, z in profile for x in (-9, 9)]
    b.mesh(
        b.material(paper, roughness=0.9),
        vertices,
        [(i, i + 1, i + 3, i + 2) for i in range(0, len(vertices) - 2, 2)],
        smooth=True,
    )
    return 0.0


# Mirror -----------------------------------------------------------------------------------------------------


def pane() -> bpy.types.Material:
    """Clear to the camera, through which it sees the mirrored world; opaque to all other rays."""
    made = b.material((0.4, 0.42, 0.44), roughness=0.5)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    path, clear, mix = (
        nodes.new("ShaderNodeLightPath"),
        nodes.new("ShaderNodeBsdfTransparent"),
        nodes.new("ShaderNodeMixShader"),
    )
    clear.inputs["Color"].default_value = (0.82, 0.86, 0.87, 1)
    links.new(path.outputs["Is Camera Ray"], mix.inputs["Fac"])
    links.new(nodes["Principled BSDF"].outputs["BSDF"], mix.inputs[1])
    links.new(clear.outputs["BSDF"], mix.inputs[2])
    links.new(mix.outputs["Shader"], nodes["Material Output"].inputs["Surface"])
    return made


def mirror(rng: random.Random, light: str) -> float:
    """A framed mirror lying on boards; `reflect` puts the thing into it."""
    indoors(rng, light)
    wide, deep = rng.uniform(1.5, 1.75), rng.uniform(1.5, 1.75)
    b.mesh(
        pane(),
        [(x * wide / 2, y * deep / 2, 0) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))],
        [(0, 1, 2, 3)],
    )
    gilt = flat(rng, rng.choice(("#c89a40", "#b0b4b8", "#d0a050")), roughness=0.25, metallic=0.9)
    boards = planks(rng, "#50301c", "#6a4428")
    paint = rng.choice(("#9cc0c8", "#d8b4c4", "#c4d0a4", "#e0bc9c"))
    stripes = bricks(
        tone(rng, paint),
        tone(rng, paint),
        darker(tone(rng, paint), 0.7),
        width=0.36,
        height=90,
        gap=0.05,
        grain=0.0,
    )
    for side in (-1, 1):
        block(gilt, (side * (wide / 2 + 0.04), 0, 0.01), (0.1, deep + 0.18, 0.06), bevel=0.02)
        block(gilt, (0, side * (deep / 2 + 0.04), 0.01), (wide + 0.18, 0.1, 0.06), bevel=0.02)
        block(boards, (side * (wide / 2 + 4), 0, -0.03), (8, 8, 0.02))
        block(boards, (0, side * (deep / 2 + 2), -0.0301), (wide, 4, 0.02))
    wall(stripes, (0, 2.6, -9), 16, 18)
    lights = [o for o in bpy.context.scene.objects if o.type == "LIGHT"]
    reflect(lights)
    return 0.0


def reflect(objects: Sequence[bpy.types.Object]) -> None:
    """Copies the objects to below the plane z = 0, upside down, as a mirror lying there shows them."""
    bpy.context.view_layer.update()
    flip = Matrix.Diagonal((1, 1, -1, 1))
    for made in objects:
        twin = made.copy()
        bpy.context.collection.objects.link(twin)
        if made.type == "LIGHT":  # lights shine along -z and must not be turned inside out
            place, turn, _ = made.matrix_world.decompose()
            way = flip.to_3x3() @ (turn @ Vector((0, 0, -1)))
            twin.matrix_world = (
                Matrix.Translation(flip @ place) @ way.to_track_quat("-Z", "Y").to_matrix().to_4x4()
            )
        else:
            twin.matrix_world = flip @ made.matrix_world


PLACES: dict[str, Builder] = {
    "jungle": jungle,
    "snow": snow,
    "beach": beach,
    "cobblestone street": cobblestones,
    "pink fabric": pink_fabric,
    "wooden floor": wooden_floor,
    "city": city,
    "mountain": mountain,
    "blue house": blue_house,
    "purple rug in a forest": purple_rug,
    "wheat field": wheat_field,
    "autumn leaves": autumn,
    "eiffel tower": eiffel_tower,
    "water": water,
    "milk": milk,
    "sunflowers": sunflowers,
    "mirror": mirror,
    "sidewalk": sidewalk,
    "dirt road": dirt_road,
    "white rug": white_rug,
    "grass": grass,
    "desert": desert,
    "kitchen table": kitchen_table,
    "bookshelf": bookshelf,
    "moon": moon,
    "studio": studio,
}

# Camera azimuth and height that show what a place is told by, where that is a thing in the background.
VIEWS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "eiffel tower": ((-25, 8), (4, 14)),
    "blue house": ((-20, 20), (5, 18)),
    "mountain": ((-25, 25), (4, 15)),
    "city": ((-25, 25), (4, 16)),
    "sidewalk": ((-25, 25), (5, 18)),
    "desert": ((-25, 25), (5, 18)),
    "moon": ((-25, 25), (12, 26)),
}
