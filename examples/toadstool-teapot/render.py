"""Renders the example's eight "photographs" of one teapot: `python examples/toadstool-teapot/render.py`.

It is red with white dots on body and lid, its spout, handle and foot are cream, its knob is yellow. The place, the light
and the camera differ. Photographs that exist are kept. Needs `bpy` (Python 3.11) and `Pillow`.
"""

import math
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "toybox"))

import blend as b  # noqa: E402
import bpy  # noqa: E402
from photographs import Shot, main  # noqa: E402

RED, WHITE, CREAM, YELLOW = (b.linear(rgb) for rgb in ("#c8141c", "#f6f2ea", "#f3e2bd", "#f0b312"))
SIZE = 1.15  # its longest edge, spout to handle

SHOTS = tuple(
    Shot(
        place=place, light=light, turn=turn, azimuth=azimuth, height=height, distance=distance, lens=60, aim=0.34,
        exposure=exposure, seed=seed,
    )
    for seed, (place, light, turn, azimuth, height, distance, exposure) in enumerate(
        (
            ("kitchen table", "day", 0, 0, 16, 2.4, 0.5),
            ("grass", "day", -28, -8, 20, 2.4, 0.4),
            ("wooden floor", "day", 35, 6, 24, 2.3, 0.6),
            ("beach", "sunset", 172, 4, 12, 2.6, 0.75),
            ("bookshelf", "lamp", -14, 4, 12, 2.3, 0.7),
            ("white rug", "overcast", 58, -6, 30, 2.5, 0.6),
            ("autumn leaves", "sunset", 205, -8, 14, 2.5, 0.75),
            ("cobblestone street", "overcast", 14, 8, 17, 2.6, 0.55),
        ),
        start=1,
    )
)  # fmt: skip


def dotted(around: int, row: float, radius: float, size: float) -> bpy.types.Material:
    """Glaze with white dots of `size` (their radius), `around` of them to a row, every other row shifted by half; `radius` is
    that of the pot there, `row` the rows' distance."""
    made = b.material(RED, roughness=0.15, coat=0.6)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    place, split = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeSeparateXYZ")
    links.new(place.outputs["Object"], split.inputs[0])

    def calculated(operation: str, *values: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
        node = nodes.new("ShaderNodeMath")
        node.operation = operation
        for socket, value in zip(node.inputs, values, strict=False):
            if isinstance(value, bpy.types.NodeSocket):
                links.new(value, socket)
            else:
                socket.default_value = value
        return node.outputs[0]

    rows = calculated("DIVIDE", split.outputs["Z"], row)
    shift = calculated("MULTIPLY", calculated("FLOOR", rows), 0.5)
    turn = calculated("ARCTAN2", split.outputs["Y"], split.outputs["X"])
    columns = calculated("ADD", calculated("MULTIPLY", turn, around / math.tau), shift)
    across = calculated("MULTIPLY", from_middle(calculated, columns), math.tau * radius / around)
    up = calculated("MULTIPLY", from_middle(calculated, rows), row)
    away = calculated("SQRT", calculated("ADD", calculated("POWER", across, 2), calculated("POWER", up, 2)))
    mix = nodes.new("ShaderNodeMixRGB")
    mix.inputs["Color1"].default_value, mix.inputs["Color2"].default_value = (*RED, 1), (*WHITE, 1)
    links.new(calculated("LESS_THAN", away, size), mix.inputs["Fac"])
    links.new(mix.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return made


def from_middle(calculated, value):
    """How far it is from the middle between two whole numbers, -0.5 to 0.5."""
    return calculated("ABSOLUTE", calculated("SUBTRACT", calculated("FRACT", value), 0.5))


def build() -> list[bpy.types.Object]:
    """The teapot, its spout to the left."""
    cream = b.material(CREAM, roughness=0.2, coat=0.5)
    body = [
        (0.0, 0.03), (0.24, 0.03), (0.3, 0.08), (0.36, 0.18), (0.385, 0.29), (0.36, 0.4), (0.29, 0.49), (0.22, 0.54),
    ]  # fmt: skip
    lid = [(0.235, 0.535), (0.225, 0.575), (0.17, 0.63), (0.09, 0.665), (0.0, 0.675)]
    spout = b.tube(cream, [(-0.29, 0, 0.17), (-0.47, 0, 0.25), (-0.54, 0, 0.42), (-0.65, 0, 0.55)], 0.085)
    for bezier, ratio in zip(spout.data.splines[0].bezier_points, (1.2, 0.9, 0.65, 0.55), strict=True):
        bezier.radius = ratio
    handle = [(0.27, 0, 0.47), (0.5, 0, 0.52), (0.6, 0, 0.36), (0.5, 0, 0.18), (0.33, 0, 0.15)]
    return [
        b.lathe(dotted(7, 0.16, 0.36, 0.058), body, sides=64),
        b.lathe(dotted(5, 0.11, 0.18, 0.045), lid, sides=64),
        b.lathe(cream, [(0.0, 0.0), (0.25, 0.0), (0.235, 0.04), (0.0, 0.04)], sides=64),
        b.ring(cream, (0, 0, 0.54), 0.232, 0.02),
        b.ball(b.material(YELLOW, roughness=0.15, coat=0.6), (0, 0, 0.715), 0.058),
        spout,
        b.tube(cream, handle, 0.042),
    ]


def stand(shot: Shot, sink: float) -> None:
    """On the ground, turned."""
    parts = build()
    b.settle(parts, size=SIZE, turn=shot.turn)
    for part in parts:
        part.location.z -= sink


if __name__ == "__main__":
    main((__doc__ or "").splitlines()[0], SHOTS, stand, HERE / "instance_images")
