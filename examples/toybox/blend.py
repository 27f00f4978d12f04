"""Modelling in Blender with few words: materials, shapes, fur, camera, light, and one rendered picture with its tint mask.

Only the data makers import `bpy` (`pip install bpy`, Python 3.11); nothing at run time does. Lengths are in units of
the thing's size (about 1), angles in degrees, colours in linear RGB from 0 to 1. Things stand on z = 0 and face -y,
where the camera is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

Vec = Sequence[float]
TINT_ALBEDO = 0.8
FRAME = "frame"  # an empty that stands where the thing does and is turned as it is: the pass "where" is in its coordinates
PASSES = ("tint", "where")


def reset() -> None:
    """Empties the file; everything made before is gone."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    bpy.context.collection.objects.link(bpy.data.objects.new(FRAME, None))


def linear(srgb: str) -> tuple[float, float, float]:
    """'#rrggbb' to linear RGB, as Blender's sockets want it."""
    values = [int(srgb[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return r, g, b


# Materials -----------------------------------------------------------------------------------------------------------


def material(
    rgb: Vec,
    *,
    roughness: float = 0.6,
    metallic: float = 0.0,
    coat: float = 0.0,
    emission: float = 0.0,
    transmission: float = 0.0,
    tint: Vec | None = None,
) -> bpy.types.Material:
    """A Principled material; `tint` is the share (0 to 1) in which recolouring after rendering takes hold: with the thing's
    colour, with the second thing's, and nothing."""
    made = bpy.data.materials.new("material")
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    for socket, value in {
        "Base Color": (*rgb, 1.0),
        "Roughness": roughness,
        "Metallic": metallic,
        "Coat Weight": coat,
        "Transmission Weight": transmission,
        "Emission Color": (*rgb, 1.0),
        "Emission Strength": emission,
    }.items():
        shader.inputs[socket].default_value = value
    if tint is not None:
        _pass(made, "tint").default_value = (*tint, 1.0)
        _show_where(made)
    return made


def _pass(made: bpy.types.Material, name: str) -> bpy.types.NodeSocket:
    """What the material writes into that pass."""
    output = made.node_tree.nodes.new("ShaderNodeOutputAOV")
    output.aov_name = name
    return output.inputs["Color"]


def _show_where(made: bpy.types.Material) -> None:
    """Writes where on the thing each point is, -1 to 1 as 0 to 1."""
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates, halved = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeVectorMath")
    coordinates.object = bpy.data.objects[FRAME]
    halved.operation = "MULTIPLY_ADD"
    halved.inputs[1].default_value = halved.inputs[2].default_value = (0.5, 0.5, 0.5)
    links.new(coordinates.outputs["Object"], halved.inputs[0])
    links.new(halved.outputs["Vector"], _pass(made, "where"))


def tinted(shade: float = 1.0, *, second: bool = False, **kwargs: float) -> bpy.types.Material:
    """The material of what a caption's colour names: rendered light grey, recoloured by `pictures.recolour`.

    `shade` darkens a part of it (0.6 for a darker belly); `second` is of the second thing."""
    value = TINT_ALBEDO * shade
    return material((value, value, value), tint=(0.0, 1.0, 0.0) if second else (1.0, 0.0, 0.0), **kwargs)


@dataclass(frozen=True)
class Look:
    """How the tinted parts of a thing look: finish "" (the kind's own), "shiny", "wet" or "furry"."""

    finish: str = ""
    rgb: Vec | None = None  # a colour of its own, so that nothing is left to recolour
    second: bool = False  # the second thing of a scene, recoloured by itself

    def paint(self, shade: float = 1.0, *, roughness: float = 0.5, **kwargs: float) -> bpy.types.Material:
        """`tinted` in this finish; `roughness` is the kind's own."""
        if self.rgb is not None:
            return material([TINT_ALBEDO * shade * c for c in self.rgb], roughness=roughness, **kwargs)
        if self.finish == "shiny":
            return tinted(shade, second=self.second, roughness=0.08, coat=1.0, metallic=0.25)
        if self.finish == "wet":
            return tinted(shade * 0.75, second=self.second, roughness=0.15, coat=1.0)
        return tinted(shade, second=self.second, roughness=roughness, **kwargs)

    def cover(
        self,
        made: bpy.types.Object,
        *,
        length: float = 0.05,
        count: int = 500,
        always: bool = False,
        seed: int = 0,
    ) -> bpy.types.Object:
        """Gives the object fur if the finish is furry, or `always` (plush toys, animals)."""
        if always or self.finish == "furry":
            fur(made, length=length, count=count, seed=seed)
        return made


def textured(
    kind: str,
    rgb_a: Vec,
    rgb_b: Vec,
    *,
    scale: float = 5.0,
    contrast: float = 1.0,
    bump: float = 0.0,
    roughness: float = 0.8,
    **texture_inputs: float,
) -> bpy.types.Material:
    """Two colours mixed by a procedural texture: kind is NOISE, VORONOI, WAVE, CHECKER, BRICK or MAGIC.

    Object coordinates, so it moves with its object; `bump` in units of length."""
    made = material(rgb_a, roughness=roughness)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    coordinates = nodes.new("ShaderNodeTexCoord")
    node = nodes.new(
        {
            "NOISE": "ShaderNodeTexNoise",
            "VORONOI": "ShaderNodeTexVoronoi",
            "WAVE": "ShaderNodeTexWave",
            "CHECKER": "ShaderNodeTexChecker",
            "BRICK": "ShaderNodeTexBrick",
            "MAGIC": "ShaderNodeTexMagic",
        }[kind]
    )
    node.inputs["Scale"].default_value = scale
    for name, value in texture_inputs.items():
        node.inputs[name.replace("_", " ").title()].default_value = value
    links.new(coordinates.outputs["Object"], node.inputs["Vector"])
    factor = node.outputs["Distance"] if kind == "VORONOI" else node.outputs["Fac"]
    ramp = nodes.new("ShaderNodeValToRGB")
    half = 0.5 / max(contrast, 1e-3)
    ramp.color_ramp.elements[0].position = max(0.0, 0.5 - half)
    ramp.color_ramp.elements[1].position = min(1.0, 0.5 + half)
    ramp.color_ramp.elements[0].color = (*rgb_a, 1.0)
    ramp.color_ramp.elements[1].color = (*rgb_b, 1.0)
    links.new(factor, ramp.inputs["Fac"])
    shader = nodes["Principled BSDF"]
    links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
    if bump:
        bumped = nodes.new("ShaderNodeBump")
        bumped.inputs["Distance"].default_value = bump
        links.new(factor, bumped.inputs["Height"])
        links.new(bumped.outputs["Normal"], shader.inputs["Normal"])
    return made


# Shapes --------------------------------------------------------------------------------------------------------------


def _finish(made: bpy.types.Object, look: bpy.types.Material, smooth: bool) -> bpy.types.Object:
    made.data.materials.append(look)
    if smooth:
        made.data.shade_smooth()
    return made


def _placed(look: bpy.types.Material, at: Vec, size: Vec, turn: Vec, smooth: bool) -> bpy.types.Object:
    made = bpy.context.object
    made.location, made.scale = Vector(at), Vector(size)
    made.rotation_euler = [math.radians(a) for a in turn]
    return _finish(made, look, smooth)


def ball(
    look: bpy.types.Material,
    at: Vec = (0, 0, 0),
    radius: float | Vec = 0.5,
    turn: Vec = (0, 0, 0),
    segments: int = 24,
) -> bpy.types.Object:
    """An ellipsoid; `radius` one number or one per axis."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=segments, ring_count=segments // 2, radius=1)
    return _placed(look, at, (radius,) * 3 if isinstance(radius, int | float) else radius, turn, True)


def box(
    look: bpy.types.Material,
    at: Vec = (0, 0, 0),
    size: Vec = (1, 1, 1),
    turn: Vec = (0, 0, 0),
    bevel: float = 0.0,
) -> bpy.types.Object:
    """A box of full edge lengths `size`, its edges rounded by `bevel`."""
    bpy.ops.mesh.primitive_cube_add(size=1)
    made = bpy.context.object
    made.data.transform(Matrix.Diagonal((*size, 1)))
    made = _placed(look, at, (1, 1, 1), turn, False)
    if bevel:
        rounding = made.modifiers.new("bevel", "BEVEL")
        rounding.width, rounding.segments = bevel, 3
        made.data.shade_smooth()
    return made


def cone(
    look: bpy.types.Material,
    at: Vec = (0, 0, 0),
    bottom: float = 0.5,
    top: float = 0.0,
    height: float = 1.0,
    turn: Vec = (0, 0, 0),
    sides: int = 24,
) -> bpy.types.Object:
    """A cone or, with top == bottom, a cylinder, about its middle; few `sides` make a pyramid or a prism."""
    bpy.ops.mesh.primitive_cone_add(vertices=sides, radius1=bottom, radius2=top, depth=height)
    made = _placed(look, at, (1, 1, 1), turn, False)
    if sides > 12:
        made.data.shade_smooth_by_angle(angle=math.radians(40)) if hasattr(
            made.data, "shade_smooth_by_angle"
        ) else made.data.shade_smooth()
    return made


def ring(
    look: bpy.types.Material,
    at: Vec = (0, 0, 0),
    radius: float = 0.5,
    thickness: float = 0.1,
    turn: Vec = (0, 0, 0),
) -> bpy.types.Object:
    """A torus lying flat (its axis is z) before `turn`."""
    bpy.ops.mesh.primitive_torus_add(
        major_radius=radius, minor_radius=thickness, major_segments=32, minor_segments=12
    )
    return _placed(look, at, (1, 1, 1), turn, True)


def mesh(
    look: bpy.types.Material, vertices: Sequence[Vec], faces: Sequence[Sequence[int]], smooth: bool = False
) -> bpy.types.Object:
    """A mesh from its vertices and faces."""
    data = bpy.data.meshes.new("mesh")
    data.from_pydata([tuple(v) for v in vertices], [], [tuple(f) for f in faces])
    made = bpy.data.objects.new("mesh", data)
    bpy.context.collection.objects.link(made)
    return _finish(made, look, smooth)


def lathe(
    look: bpy.types.Material,
    profile: Sequence[tuple[float, float]],
    at: Vec = (0, 0, 0),
    turn: Vec = (0, 0, 0),
    sides: int = 32,
) -> bpy.types.Object:
    """A solid of revolution about z from (radius, height) points, bottom first: vases, bowls, bottles, bells."""
    vertices = [
        (r * math.cos(a), r * math.sin(a), z)
        for r, z in profile
        for a in (2 * math.pi * i / sides for i in range(sides))
    ]
    faces = [
        (
            row * sides + i,
            row * sides + (i + 1) % sides,
            (row + 1) * sides + (i + 1) % sides,
            (row + 1) * sides + i,
        )
        for row in range(len(profile) - 1)
        for i in range(sides)
    ]
    made = mesh(look, vertices, faces, smooth=True)
    made.location = Vector(at)
    made.rotation_euler = [math.radians(a) for a in turn]
    return made


def tube(
    look: bpy.types.Material, points: Sequence[Vec], thickness: float = 0.05, closed: bool = False
) -> bpy.types.Object:
    """A round tube along a smooth curve through the points: handles, tails, stems, wires."""
    curve = bpy.data.curves.new("tube", "CURVE")
    curve.dimensions, curve.bevel_depth, curve.bevel_resolution, curve.use_fill_caps = (
        "3D",
        thickness,
        3,
        True,
    )
    spline = curve.splines.new("BEZIER")
    spline.bezier_points.add(len(points) - 1)
    spline.use_cyclic_u = closed
    for bezier, point in zip(spline.bezier_points, points, strict=True):
        bezier.co = point
        bezier.handle_left_type = bezier.handle_right_type = "AUTO"
    made = bpy.data.objects.new("tube", curve)
    bpy.context.collection.objects.link(made)
    curve.materials.append(look)
    return made


def prism(
    look: bpy.types.Material,
    outline: Sequence[tuple[float, float]],
    depth: float,
    at: Vec = (0, 0, 0),
    turn: Vec = (0, 0, 0),
    bevel: float = 0.0,
) -> bpy.types.Object:
    """A flat outline in x and z, thick along y: stars, hearts, guitar bodies, house gables."""
    n = len(outline)
    vertices = [(x, -depth / 2, z) for x, z in outline] + [(x, depth / 2, z) for x, z in outline]
    faces = [tuple(range(n)), tuple(range(2 * n - 1, n - 1, -1))]
    faces += [(i, i + n, (i + 1) % n + n, (i + 1) % n) for i in range(n)]
    made = mesh(look, vertices, faces)
    made.location = Vector(at)
    made.rotation_euler = [math.radians(a) for a in turn]
    if bevel:
        rounding = made.modifiers.new("bevel", "BEVEL")
        rounding.width, rounding.segments, rounding.limit_method = bevel, 3, "ANGLE"
        made.data.shade_smooth()
    return made


def fur(
    made: bpy.types.Object,
    *,
    length: float = 0.05,
    count: int = 1200,
    children: int = 8,
    thickness: float = 0.006,
    seed: int = 0,
    curl: float = 0.02,
) -> bpy.types.Object:
    """Hair over the object, in its own material; `length` and `thickness` in units of length."""
    bpy.context.view_layer.objects.active = made
    made.modifiers.new("fur", "PARTICLE_SYSTEM")
    system = made.particle_systems[-1]
    system.seed = seed
    hair = system.settings
    hair.type, hair.count, hair.hair_length = "HAIR", count, length
    hair.child_type, hair.rendered_child_count, hair.child_percent = "INTERPOLATED", children, children
    hair.roughness_1, hair.roughness_2, hair.child_length = curl, curl, 1.0
    hair.brownian_factor = length * 0.3
    hair.root_radius, hair.tip_radius, hair.radius_scale = 1.0, 0.3, thickness
    hair.render_step = hair.display_step = 3
    return made


# Placing -------------------------------------------------------------------------------------------------------------


def bounds(objects: Sequence[bpy.types.Object]) -> tuple[Vector, Vector]:
    """The lowest and highest corner of the objects' common box, in the world."""
    bpy.context.view_layer.update()
    corners = [
        o.matrix_world @ Vector(c)
        for o in objects
        for c in ([v.co for v in o.data.vertices] if o.type == "MESH" else o.bound_box)
    ]
    return (
        Vector([min(c[i] for c in corners) for i in range(3)]),
        Vector([max(c[i] for c in corners) for i in range(3)]),
    )


def settle(
    objects: Sequence[bpy.types.Object], *, size: float = 1.0, turn: float = 0.0, at: Vec = (0, 0, 0)
) -> None:
    """Scales the thing so that its longest edge is `size`, turns it about z, and stands it at `at`."""
    low, high = bounds(objects)
    middle = Vector(((low.x + high.x) / 2, (low.y + high.y) / 2, low.z))
    scale = size / max(high - low)
    move = (
        Matrix.Translation(Vector(at))
        @ Matrix.Rotation(math.radians(turn), 4, "Z")
        @ Matrix.Scale(scale, 4)
        @ Matrix.Translation(-middle)
    )
    for made in objects:
        made.matrix_world = move @ made.matrix_world


def frame(at: Vec, turn: float) -> None:
    """Where the thing stands, and how it is turned about z, for the pass "where"."""
    made = bpy.data.objects[FRAME]
    made.location, made.rotation_euler = Vector(at), (0.0, 0.0, math.radians(turn))


def in_clay() -> None:
    """Makes everything in the file of clay: dull, dented, without hair or glass, in the colours it has."""
    for made in bpy.data.objects:
        for modifier in [m for m in made.modifiers if m.type == "PARTICLE_SYSTEM"]:
            made.modifiers.remove(modifier)
    for made in bpy.data.materials:
        shader = made.node_tree.nodes.get("Principled BSDF") if made.use_nodes else None
        if shader is None:
            continue
        for socket, value in {
            "Roughness": 0.75,
            "Metallic": 0.0,
            "Coat Weight": 0.0,
            "Transmission Weight": 0.0,
        }.items():
            shader.inputs[socket].default_value = value
        nodes, links = made.node_tree.nodes, made.node_tree.links
        coordinates, noise, bump = (
            nodes.new(f"ShaderNode{name}") for name in ("NewGeometry", "TexNoise", "Bump")
        )
        noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 9.0, 1.0
        bump.inputs["Distance"].default_value = 0.06
        links.new(coordinates.outputs["Position"], noise.inputs["Vector"])
        links.new(noise.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])


# Light, camera, picture ----------------------------------------------------------------------------------------------


def sky(horizon: Vec, zenith: Vec, strength: float = 1.0) -> None:
    """A world lit by, and showing, a vertical gradient."""
    tree = bpy.context.scene.world.node_tree
    nodes, links = tree.nodes, tree.links
    nodes.clear()
    coordinates, split = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeSeparateXYZ")
    ramp, background = nodes.new("ShaderNodeValToRGB"), nodes.new("ShaderNodeBackground")
    output = nodes.new("ShaderNodeOutputWorld")
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (*horizon, 1), (*zenith, 1)
    ramp.color_ramp.elements[1].position = 0.6
    background.inputs["Strength"].default_value = strength
    links.new(coordinates.outputs["Generated"], split.inputs["Vector"])
    links.new(split.outputs["Z"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], background.inputs["Color"])
    links.new(background.outputs["Background"], output.inputs["Surface"])
    # the automatic importance map takes 1.4 s to build, longer than the rest of a picture
    bpy.context.scene.world.cycles.sampling_method = "MANUAL"
    bpy.context.scene.world.cycles.sample_map_resolution = 64


def sun(
    azimuth: float, height: float, strength: float = 3.0, rgb: Vec = (1, 1, 1), softness: float = 3.0
) -> None:
    """Parallel light; azimuth 0 shines from the camera's side (-y), 90 from the right; `softness` its width."""
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.color, light.angle = strength, rgb, math.radians(softness)
    made = bpy.data.objects.new("sun", light)
    made.rotation_euler = (math.radians(90 - height), 0, math.radians(azimuth))
    bpy.context.collection.objects.link(made)


def lamp(at: Vec, power: float = 60.0, rgb: Vec = (1, 0.85, 0.7), size: float = 0.6) -> None:
    """A soft area light aimed at the thing (0, 0, 0.4)."""
    light = bpy.data.lights.new("lamp", "AREA")
    light.energy, light.color, light.size = power, rgb, size
    made = bpy.data.objects.new("lamp", light)
    made.location = Vector(at)
    made.rotation_euler = (Vector((0, 0, 0.4)) - made.location).to_track_quat("-Z", "Y").to_euler()
    bpy.context.collection.objects.link(made)


def camera(
    target: Vec,
    *,
    distance: float,
    azimuth: float = 0.0,
    height: float = 15.0,
    lens: float = 50.0,
    roll: float = 0.0,
) -> None:
    """Looks at `target` from `distance`; azimuth 0 is in front (-y), positive to the right; `height` above the
    horizon in degrees."""
    data = bpy.data.cameras.new("camera")
    data.lens = lens
    made = bpy.data.objects.new("camera", data)
    a, h = math.radians(azimuth), math.radians(height)
    made.location = Vector(target) + distance * Vector(
        (math.sin(a) * math.cos(h), -math.cos(a) * math.cos(h), math.sin(h))
    )
    look = (Vector(target) - made.location).to_track_quat("-Z", "Y")
    made.rotation_euler = (look.to_matrix() @ Matrix.Rotation(math.radians(roll), 3, "Z")).to_euler()
    bpy.context.collection.objects.link(made)
    bpy.context.scene.camera = made


def picture(
    path: Path, *, size: int = 160, samples: int = 8, seed: int = 0, threads: int = 1, gpu: bool = False
) -> None:
    """Renders `path` (PNG, sRGB) and, beside it, its passes, linear: `<stem>.tint.png`, where, and how much, each tint takes
    hold, and `<stem>.where.png`, the tinted parts' place on the thing, -1 to 1 as 0 to 1, times their share of the pixel."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "GPU" if gpu else "CPU"
    scene.cycles.samples, scene.cycles.seed = samples, seed
    scene.cycles.use_denoising, scene.cycles.denoiser = True, "OPENIMAGEDENOISE"
    scene.cycles.denoising_quality, scene.cycles.denoising_prefilter = "FAST", "NONE"
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces, scene.cycles.transparent_max_bounces = 6, 2, 6
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGB"
    for name in PASSES:
        scene.view_layers[0].aovs.add().name = name  # of colours
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    layers, composite = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeComposite")
    tree.links.new(layers.outputs["Image"], composite.inputs["Image"])
    written = tree.nodes.new("CompositorNodeOutputFile")
    written.base_path = str(path.parent)
    written.format.file_format, written.format.color_mode = "PNG", "RGB"
    written.format.color_management = "OVERRIDE"
    written.format.view_settings.view_transform = "Raw"
    written.file_slots.clear()
    for index, name in enumerate(PASSES):
        written.file_slots.new(f".{path.stem}.{name}")
        tree.links.new(layers.outputs[name], written.inputs[index])
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    for name in PASSES:
        made = path.parent / f".{path.stem}.{name}{scene.frame_current:04d}.png"
        made.replace(path.with_suffix(f".{name}.png"))
