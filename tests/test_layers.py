"""Who may import whom: read from the sources with ast, never by importing."""

import ast
from pathlib import Path

import pytest

from trainer.config import Concept, GenerationConfig, TrainingConfig

ROOT = Path(__file__).parent.parent
# a module imports only from the rows above its own
LAYERS = (
    {
        "__init__",
        "errors",
        "loss",
        "grid",
        "refusals",
        "measures",
        "variety",
        "words",
        "crops",
        "choice",
        "copying",
    },
    {"fields", "optimizers", "verdicts", "pixels"},
    {"config", "gate"},
    {"flags", "photos", "models", "concept", "metadata", "faults", "presets", "prompting"},
    {
        "checkpoint",
        "dataset",
        "sampling",
        "finish",
        "reports",
        "workspace",
        "snapshots",
        "card",
        "archives",
        "remedies",
    },
    {"batches", "learner", "previews", "generation", "ladder", "bundle"},
    {"preparation", "evaluation", "showcase", "uploader", "hub", "identifier"},
    {"objective", "exam", "choose"},
    {"loop", "memory"},
    {"jobs"},
    {"__main__"},
)
LAYER = {name: number for number, row in enumerate(LAYERS) for name in row}
# what may import nothing of ours beside these
FOUNDATION = {"errors": set(), "loss": set(), "optimizers": {"errors"}, "config": {"errors", "fields"}}
# light enough for --help and for a page that only looks at photos
WITHOUT_TORCH = {
    "__init__",
    "errors",
    "fields",
    "config",
    "flags",
    "measures",
    "variety",
    "words",
    "crops",
    "verdicts",
    "gate",
    "pixels",
    "photos",
    "archives",
    "remedies",
    "concept",
    "prompting",
    "choice",
    "workspace",
    "snapshots",
    "presets",
    "jobs",
    "card",
    "bundle",
    "refusals",
    "uploader",
    "hub",
    "__main__",
}
SHARING = {"card", "bundle", "showcase", "refusals", "uploader", "hub"}
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft", "bitsandbytes", "xformers"}


def sources() -> list[Path]:
    return sorted((ROOT / "trainer").glob("*.py"))


def pages() -> list[Path]:
    return [*sorted((ROOT / "trainer/ui").glob("*.py")), ROOT / "app.py"]


def imports(path: Path) -> set[str]:
    """Full names of what a file imports anywhere in it: 'trainer.config', 'torch.nn'."""
    return imports_of(path.read_text(encoding="utf-8"))


def imports_of(source: str) -> set[str]:
    """As `imports`, of a text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("trainer.")}


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_every_module_has_its_place() -> None:
    assert {path.stem for path in sources()} <= LAYER.keys()


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_imports_go_downwards_only(path: Path) -> None:
    assert {name for name in ours(path) if LAYER[name] >= LAYER[path.stem]} == set()
    assert ours(path) <= FOUNDATION.get(path.stem, LAYER.keys())


def test_only_the_loop_imports_accelerate() -> None:
    assert [path.stem for path in sources() if "accelerate" in packages(path)] == ["loop"]


def test_only_the_uploader_writes_to_the_hub() -> None:
    """Whoever has no HfApi can write nothing; the others look a card or a login up."""
    writing = {path.stem for path in sources() if any("HfApi" in name for name in imports(path))}
    assert writing == {"uploader"}


def test_training_knows_nothing_of_sharing() -> None:
    below = [path for path in sources() if LAYER[path.stem] <= LAYER["loop"] and path.stem not in SHARING]
    assert {path.stem for path in below if ours(path) & SHARING} == set()


def test_what_must_be_light_imports_nothing_heavy() -> None:
    heavy = {path.stem: packages(path) & HEAVY for path in sources() if path.stem in WITHOUT_TORCH}
    assert {name for name, found in heavy.items() if found} == set()


def test_no_file_imports_gradio_but_the_app() -> None:
    assert [path.name for path in sources() if "gradio" in packages(path)] == []
    assert [path.name for path in sources() if "ui" in ours(path)] == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_a_page_imports_nothing_heavy_before_it_is_needed(path: Path) -> None:
    """What is imported inside a function is imported when that is called, or by a type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = {ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
    names = {name for line in at_once for name in imports_of(line)}
    assert {name.split(".")[0] for name in names} & HEAVY == set()
    mine = {name.split(".")[1] for name in names if name.startswith("trainer.")}
    assert mine <= WITHOUT_TORCH | {"ui", "metadata"}
    assert not ours(path) & {"loop", "__main__"}


def test_nothing_imports_the_edges() -> None:
    files = [*sources(), *(ROOT / "examples").rglob("*.py")]
    assert [path.name for path in files if imports(path) & {"app", "trainer.__main__"}] == []


def test_every_setting_is_read_by_something() -> None:
    """A setting that nothing reads would be ignored in silence."""
    declaring = {"config", "fields", "flags", "__main__"}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources() if path.stem not in declaring]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {node.attr for node in nodes if ast.unparse(node.value).split(".")[-1] == "config"}
    read |= Concept.model_fields.keys() & {node.attr for node in nodes}  # of each of config.concepts
    assert "concepts" in read
    settings = TrainingConfig.model_fields.keys() | GenerationConfig.model_fields.keys()
    assert settings - read == {
        "concepts_list",
        "set_grads_to_none",
    }  # read as concepts; has no effect, and says so
