"""The tutorial, run as a reader runs it: its cells in order, in one fresh process, with a Hub on loopback."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, Repo, User
from PIL import Image, ImageChops

from trainer import choice, concept, evaluation, metadata, photos
from trainer.grid import labelled_grid

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples/tutorial.ipynb"
BEAR = ROOT / "examples/teddy-bear/instance_images"
TOKEN = "hf_DoNotTellAnyone0123456789"
REPO = "me/my-bear"
INSTANCE_PROMPT, CLASS_PROMPT = "a photo of a sks teddy bear", "a photo of a teddy bear"
PLACES = ("on grass", "in the snow")
# nothing but the Hub on loopback is asked
NETWORK = {"HF_HUB_DISABLE_TELEMETRY": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

# Runs the cells named on the command line (all where none is), as a kernel does; notes what each prints and displays.
RUNNER = """
import contextlib, io, json, pathlib, sys

notebook, notes, *wanted = sys.argv[1:]
notes = pathlib.Path(notes)
shown = []
names = {"__name__": "__main__", "display": shown.append}
for cell in json.loads(pathlib.Path(notebook).read_text(encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code" or (wanted and cell["id"] not in wanted):
        continue
    shown.clear()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    folder = notes / cell["id"]
    folder.mkdir()
    (folder / "printed").write_text(printed.getvalue(), encoding="utf-8")
    for index, image in enumerate(shown):
        image.save(folder / f"{index}.png")
"""


def cells(kind: str) -> dict[str, str]:
    """The source of each cell of a kind, by its id."""
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in found if cell["cell_type"] == kind}


def run_cells(
    notes: Path, *wanted: str, notebook: Path = NOTEBOOK, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A fresh Python with nobody's login, whose cells note in `notes`."""
    notes.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TUTORIAL_"))}
    return subprocess.run(
        [sys.executable, "-c", RUNNER, str(notebook), str(notes), *wanted],
        env=kept | NETWORK | {"HF_HOME": str(notes / "home")} | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def tree() -> set[Path]:
    """What lies where a run would write, were it not told to write elsewhere."""
    files = (path for folder in ("examples", "outputs/tutorial") for path in (ROOT / folder).rglob("*"))
    return {path for path in files if "__pycache__" not in path.parts}


@dataclass(frozen=True)
class Tutorial:
    """What a run of the whole notebook left."""

    notes: Path
    output: Path
    repo: Repo
    endpoint: str
    stderr: str
    added: set[Path]  # to the repository

    def printed(self, cell: str) -> str:
        return (self.notes / cell / "printed").read_text(encoding="utf-8")

    def shown(self, cell: str) -> list[Image.Image]:
        return [Image.open(path) for path in sorted((self.notes / cell).glob("*.png"))]

    def config(self, name: str) -> dict[str, Any]:
        return dict(concept.read_settings(self.output / name)["config"])


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    root = tmp_path_factory.mktemp("tutorial")
    before = tree()
    with HubServer({TOKEN: User("me")}) as server:
        ended = run_cells(
            root / "notes",
            cwd=NOTEBOOK.parent,  # as Jupyter does
            HF_ENDPOINT=server.endpoint,
            HF_TOKEN=TOKEN,
            TUTORIAL_QUICK="1",
            TUTORIAL_OUTPUT=str(root / "output"),
            TUTORIAL_PUSH_TO=REPO,
        )
        assert ended.returncode == 0, ended.stderr
        yield Tutorial(
            root / "notes",
            root / "output",
            server.repos[REPO],
            server.endpoint,
            ended.stderr,
            tree() - before,
        )
    shutil.rmtree(root / "output")  # a gigabyte, most of it checkpoints


def sheet_size(rows: list[tuple[str, int]], columns: tuple[str, ...] = (), **options: Any) -> tuple[int, int]:
    """Of a labelled grid with so many images in each row."""
    blank = Image.new("RGB", (8, 8))
    top_rows = [(label, [blank] * count) for label, count in options.pop("top_rows", ())]
    filled = [(label, [blank] * count) for label, count in rows]
    return labelled_grid(filled, columns, top_rows=top_rows, **options).size


def has_something_in(image: Image.Image) -> bool:
    """Whether it is more than labels on white: a picture has many colours."""
    return len(image.convert("RGB").getcolors(image.width * image.height) or ()) > 1000


# as committed


def test_it_is_committed_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 20
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert [cell["id"] for cell in notebook["cells"] if cell["metadata"]] == []


def test_it_is_a_notebook_that_jupyter_opens() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", id)] == []
    for cell in notebook["cells"]:
        assert cell.keys() == {"cell_type", "id", "metadata", "source"} | (
            {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        )


def test_what_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", "\n".join(cells("markdown").values()))
    ours = [link for link in links if "://" not in link]
    assert len(ours) >= 3
    assert [link for link in ours if not (NOTEBOOK.parent / link).exists()] == []


def test_every_section_has_cells() -> None:
    text = "\n".join(cells("markdown").values())
    listed = re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE)
    assert listed == re.findall(r"^## (\d+)\. (.+)$", text, re.MULTILINE)
    assert len(listed) == 10


# set-up


def test_alone_and_without_an_address_it_says_what_to_do(tmp_path: Path) -> None:
    ended = run_cells(tmp_path / "notes", "settings", "set-up", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "RuntimeError: This is no clone of the repository: set REPOSITORY, above, to its address.\n"
    )


def test_alone_it_clones_once_and_installs(tmp_path: Path) -> None:
    origin, home = tmp_path / "origin", tmp_path / "home"
    (origin / "trainer").mkdir(parents=True)
    home.mkdir()
    (origin / "trainer/__init__.py").touch()
    (origin / "trainer/loop.py").write_text("taught = 'a bear'\n")
    (origin / "requirements.txt").write_text("pip\n")  # which is there
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@localhost", "-C", str(origin)]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["id"] == "settings":
            cell["source"].append(f"\nREPOSITORY = {str(origin)!r}")
        if cell["id"] == "set-up":
            cell["source"].append("\nfrom trainer import loop; print(loop.taught, loop.__file__, Path.cwd())")
    edited = tmp_path / "edited.ipynb"
    edited.write_text(json.dumps(notebook))

    clone = home / "dreambooth-studio"
    for time in ("first", "again"):  # as after a restart of Colab's
        ended = run_cells(tmp_path / time, "settings", "set-up", notebook=edited, cwd=home)
        assert ended.returncode == 0, ended.stderr
        assert (tmp_path / time / "set-up/printed").read_text() == f"a bear {clone}/trainer/loop.py {clone}\n"


# run


def test_every_cell_runs_and_the_repository_stays_as_it_was(tutorial: Tutorial) -> None:
    assert {path.name for path in tutorial.notes.iterdir()} - {"home"} == cells("code").keys()
    assert tutorial.added == set()


def test_the_photos_are_shown_and_pass(tutorial: Tutorial) -> None:
    taken = [photos.open_photo(path) for path in photos.list_photos(BEAR)]
    (sheet,) = tutorial.shown("photos")
    wanted = labelled_grid([("", taken[:4]), ("", taken[4:])], cell=192)
    assert ImageChops.difference(sheet.convert("RGB"), wanted).getbbox() is None
    lines = tutorial.printed("check").splitlines()
    assert lines[:-1] == [f"ok {path.name}" for path in photos.list_photos(BEAR)]
    verdicts = [line.split()[:2] for line in tutorial.printed("bad-photos").splitlines()]
    assert verdicts == [
        ["ok", "01.jpg"],
        ["warning", "blurred.png"],
        ["warning", "mirrored.png"],
        ["refused", "tiny.png"],
    ]


def test_the_identifier_means_nothing_and_a_colour_does(tutorial: Tutorial) -> None:
    said = dict(line.split(": ", 1) for line in tutorial.printed("identifier").splitlines())
    assert said["sks"].startswith("ok")
    assert said["purple"].startswith("warning")
    assert said["teddy"].startswith("refused")
    assert len(said["others that mean nothing"].split()) == 5
    changes = [int(change) for change in re.findall(r"by (\d+)% of what", tutorial.printed("painted"))]
    assert len(changes) == 2 and changes[0] < changes[1]
    for word, sheet in zip(("sks", "purple"), tutorial.shown("painted"), strict=True):
        labels = (word, f"a photo of {word} teddy bear", "a photo of teddy bear")
        assert sheet.size == sheet_size([(label, 3) for label in labels])
        assert has_something_in(sheet)


def test_the_preset_is_told_with_its_reasons(tutorial: Tutorial) -> None:
    lines = tutorial.printed("preset").splitlines()
    assert (
        "prior_loss_weight = 0.5: enough to hold the class; more keeps the subject in the class's colours"
        in lines
    )
    assert tutorial.printed("config") == "Nothing speaks against these settings.\n"


def test_the_training_finishes_and_is_told(tutorial: Tutorial) -> None:
    folder = tutorial.output / "bear"
    assert concept.status(folder) == "finished"
    config = tutorial.config("bear")
    assert (config["instance_prompt"], config["class_prompt"]) == (INSTANCE_PROMPT, CLASS_PROMPT)
    assert (config["with_prior_preservation"], config["prior_loss_weight"]) == (True, 0.5)
    told = tutorial.printed("train").splitlines()
    assert told[-1] == f"{folder} is finished"
    for line in ("class_images: 8 of 8", "train", "save", "verify"):
        assert line in told
    assert [image.size for image in tutorial.shown("train")] == [(32, 32)] * 4  # twice two previews
    losses = [float(line.split(": ")[1]) for line in tutorial.printed("loss").splitlines()]
    known = [event["loss"] for event in concept.read_events(folder) if event["event"] == "step"]
    assert losses == pytest.approx(known, abs=0.001)
    assert len(losses) == 2
    (remembered,) = tutorial.shown("class-images")
    assert remembered.size == sheet_size([(CLASS_PROMPT, 8)])


@pytest.mark.parametrize(("cell", "name", "steps"), [("report", "bear", 2), ("overfitting", "overfitted", 1)])
def test_the_verdict_and_every_checkpoint_are_shown(
    tutorial: Tutorial, cell: str, name: str, steps: int
) -> None:
    report = choice.read(tutorial.output / name)
    assert report is not None
    assert len(report.judged) == steps
    printed = tutorial.printed(cell)
    assert report.verdict in printed.splitlines()
    for each in report.judged:
        of_it = (each.learnt, each.obeyed, each.drifted)
        shares = " +".join(f"{share(report.yardstick):.0%}" for share in of_it)
        row = rf"^ +{each.step} +{shares} +"
        assert re.search(row, printed, re.MULTILINE)
    rows = [(f"step {each.step}", 8) for each in report.judged]
    assert tutorial.shown(cell)[-1].size == sheet_size(rows, (*report.places, *["the class alone"] * 4))


def test_base_and_concept_are_shown_in_the_same_places(tutorial: Tutorial) -> None:
    (sheet,) = tutorial.shown("grid")
    rows = [(f"base: {CLASS_PROMPT}", 2), (f"concept: {INSTANCE_PROMPT}", 2)]
    assert sheet.size == sheet_size(rows, PLACES, top_rows=[("photos", 2)])
    assert has_something_in(sheet)
    assert re.search(r"^likeness to the photos +0\.\d{3} +0\.\d{3}$", tutorial.printed("grid"), re.MULTILINE)
    encoder = evaluation.load_subject_encoder(str(ROOT / "examples/toybox/subject_encoder"))
    alike = evaluation.photo_to_photo(
        encoder.embed_images([photos.open_photo(path) for path in photos.list_photos(BEAR)])
    )
    assert f"The photos are {alike:.3f} alike among themselves." in tutorial.printed("grid")


def test_the_second_training_has_no_prior_preservation_and_else_the_same_settings(tutorial: Tutorial) -> None:
    assert concept.status(tutorial.output / "without") == "finished"
    first, second = tutorial.config("bear"), tutorial.config("without")
    assert {name for name in first if first[name] != second[name]} == {
        "with_prior_preservation",
        "keep",
        "output_dir",
    }
    assert (second["with_prior_preservation"], second["keep"]) == (False, "last")
    assert choice.read(tutorial.output / "without") is None


def figures(printed: str, name: str) -> tuple[str, str]:
    """The base's and the concept's, out of the table of an evaluation, in two digits."""
    found = re.search(rf"^{name} +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert found is not None
    return f"{float(found[1]):.2f}", f"{float(found[2]):.2f}"


@pytest.mark.parametrize(
    ("cell", "name"),
    [("drift", "likeness of the class alone to the photos"), ("prior", "variety of the class")],
)
def test_what_prior_preservation_kept_is_told_beside_the_base(
    tutorial: Tutorial, cell: str, name: str
) -> None:
    base, with_prior = figures(tutorial.printed("grid"), name)
    again, without = figures(tutorial.printed("without-prior"), name)
    assert base == again
    told = [line.rpartition(" ") for line in tutorial.printed(cell).splitlines()[1:]]
    for (label, _, value), (row, exact) in zip(
        told, {"base": base, "with prior preservation": with_prior, "without": without}.items(), strict=True
    ):
        assert label.strip() == row
        assert float(value) == pytest.approx(float(exact), abs=0.011)
    (sheet,) = tutorial.shown(cell)
    assert has_something_in(sheet)


def test_the_class_alone_and_its_neighbours_are_shown_by_all_three(tutorial: Tutorial) -> None:
    names = ("base", "with prior preservation", "without")
    (alone,), (neighbours,) = tutorial.shown("drift"), tutorial.shown("prior")
    assert alone.size == sheet_size([(name, 2) for name in names])
    prompts = (
        "a photo of a purple teddy bear on the beach",
        "a photo of a stuffed animal",
        "a photo of a cat",
        "a photo of a duck in the snow",
        "a photo of a blue car on the beach",
    )
    assert neighbours.size == sheet_size([(name, 5) for name in names], prompts)


def test_the_third_training_has_two_photos(tutorial: Tutorial) -> None:
    assert concept.status(tutorial.output / "overfitted") == "finished"
    config = tutorial.config("overfitted")
    assert [path.name for path in photos.list_photos(config["instance_data_dir"])] == ["01.jpg", "02.jpg"]
    assert config["text_encoder_lr"] == config["learning_rate"]
    assert (config["lr_scheduler"], config["with_prior_preservation"]) == ("constant", False)
    (sheet,) = tutorial.shown("copies")
    assert sheet.size == sheet_size([("painted", 2), ("repeats", 2)], PLACES)
    right, bottom = sheet.width - 16, sheet.height - 16
    photos_beside = [sheet.crop((end - 128, bottom - 128, end, bottom)) for end in (right - 136, right)]
    count = sum(map(has_something_in, photos_beside))
    assert tutorial.printed("copies") == f"{count} of 2 pictures repeat a photo\n"


def test_the_concept_paints_by_diffusers_and_by_command(tutorial: Tutorial) -> None:
    (scales,) = tutorial.shown("diffusers")
    assert scales.size == sheet_size(
        [("", 4)], tuple(f"guidance_scale {scale}" for scale in ("1", "3", "7.5", "15"))
    )
    assert has_something_in(scales)
    paths = sorted((tutorial.output / "generated").iterdir())
    assert tutorial.printed("command").splitlines() == [*map(str, paths), ""]
    settings = [metadata.read_settings(path)["settings"] for path in paths]
    assert [each["seed"] for each in settings] == [0, 1, 2, 3]
    assert {each["prompt"] for each in settings} == {f"{INSTANCE_PROMPT} on the beach"}
    assert [Image.open(path).size for path in paths] == [(128, 128)] * 4
    (sheet,) = tutorial.shown("command")
    wanted = labelled_grid([("", [Image.open(path) for path in paths])])
    assert ImageChops.difference(sheet.convert("RGB"), wanted).getbbox() is None


def weights(folder: Path) -> dict[str, bytes]:
    """Of the parts of a pipeline, by their path."""
    parts = concept.parts(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in parts
        for path in (folder / part).glob("*.safetensors")
    }


def test_the_zip_has_the_weights_and_the_card(tutorial: Tutorial) -> None:
    with zipfile.ZipFile(tutorial.output / "teddy-bear.zip") as archive:
        assert {
            f"bear/{name}": archive.read(f"bear/{name}") for name in weights(tutorial.output / "bear")
        } == {f"bear/{name}": content for name, content in weights(tutorial.output / "bear").items()}
        card = archive.read("bear/README.md").decode()
        assert tutorial.printed("card") == "\n".join([*archive.namelist(), card]) + "\n"
    (grid,) = tutorial.shown("card")
    with Image.open(tutorial.output / "bear/showcase/grid.png") as kept:
        assert ImageChops.difference(grid.convert("RGB"), kept.convert("RGB")).getbbox() is None


def test_the_concept_is_on_the_hub(tutorial: Tutorial) -> None:
    assert tutorial.printed("push") == f"{tutorial.endpoint}/{REPO}, private\n"
    assert tutorial.repo.private
    files = tutorial.repo.files
    ours = weights(tutorial.output / "bear")
    assert len(ours) == 3
    assert {name: files.get(name) for name in ours} == ours
    card = files["README.md"].decode()
    assert "# A teddy bear" in card
    assert f"instance_prompt: {INSTANCE_PROMPT}" in card
    assert "showcase/grid.png" in files
    assert not any("instance_images" in name for name in files)


def test_the_token_is_found_nowhere_afterwards(tutorial: Tutorial) -> None:
    kept = [
        path for folder in (tutorial.notes, tutorial.output) for path in folder.rglob("*") if path.is_file()
    ]
    assert len(kept) > 50
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in tutorial.stderr
    assigned = {
        target.id
        for source in cells("code").values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "pushed" in assigned and "token" not in assigned  # a name would be kept by the kernel


def test_nothing_is_pushed_unless_a_name_is_given(tmp_path: Path) -> None:
    ended = run_cells(tmp_path / "notes", "settings", "push", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "notes/push/printed").read_text() == "Nothing was pushed: PUSH_TO is empty.\n"


def test_the_presets_of_a_gpu_are_told(tutorial: Tutorial) -> None:
    printed = tutorial.printed("gpu")
    assert "\nObject, LoRA\n" in printed and "\nObject, all weights\n" in printed
    assert "\npretrained_model_name_or_path = stable-diffusion-v1-5/stable-diffusion-v1-5: " in printed
