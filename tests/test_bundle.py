"""What is passed on of a concept, and as a zip."""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from test_hub import EVERY_PUSH, PIPELINE

from trainer import bundle, choice, concept
from trainer.errors import ConceptError

PASSED_ON = (EVERY_PUSH | PIPELINE) - {".gitattributes"}


class Pipe(io.RawIOBase):
    """A stream that can only be written to, as a connection."""

    def __init__(self) -> None:
        self.received = io.BytesIO()
        self.largest = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self.largest = max(self.largest, len(chunk))
        return self.received.write(chunk)


def test_a_zip_holds_the_concept_and_plain_diffusers_loads_it(full: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    target = tmp_path / "concept.zip"
    assert bundle.export_zip(full, target, on_progress=lambda *line: told.append(line))
    with zipfile.ZipFile(target) as archive:
        assert {name.removeprefix("full/") for name in archive.namelist()} == PASSED_ON
        archive.extractall(tmp_path / "out")
    assert told[-1] == (
        "zip",
        told[-1][2],
        sum(file.stat().st_size for file in bundle.files_of(tmp_path / "out")),
    )
    ours = DiffusionPipeline.from_pretrained(full, use_safetensors=True)
    theirs = DiffusionPipeline.from_pretrained(tmp_path / "out/full", use_safetensors=True)
    weights = theirs.unet.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in ours.unet.state_dict().items())
    assert not list(full.glob(f"{bundle.WORK}*"))
    for file in bundle.files_of(tmp_path / "out"):
        assert str(tmp_path.parent).encode() not in file.read_bytes()


def test_a_zip_goes_into_a_stream_in_small_pieces(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "CHUNK", 1000)
    pipe = Pipe()
    assert bundle.export_zip(full, pipe, include_photos=True)
    assert 1000 <= pipe.largest < 4000  # the list of contents, at the end, is one piece
    with zipfile.ZipFile(pipe.received) as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("full/") for name in archive.namelist()}
    assert names == PASSED_ON | {f"instance_images/{index:03d}.png" for index in range(3)}


def test_what_it_was_found_to_be_worth_is_passed_on(full: Path, tmp_path: Path) -> None:
    judged = choice.Judged(1, 0.5, 0.4, None, ())
    report = choice.Report(choice.Yardstick(0.6, 0.2, 0.4, None), "sks dog", ("in the snow",), (judged,))
    (full / choice.FILE).write_text(report.text())
    assert bundle.export_zip(full, tmp_path / "concept.zip")
    with zipfile.ZipFile(tmp_path / "concept.zip") as archive:
        assert archive.read(f"full/{choice.FILE}").decode() == report.text()
        assert report.verdict in archive.read("full/README.md").decode()


def test_a_stopped_zip_leaves_nothing(full: Path, tmp_path: Path) -> None:
    answers = iter([False, False, True])
    assert not bundle.export_zip(full, tmp_path / "concept.zip", should_stop=lambda: next(answers))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [("bear", "bear"), ("../x", "x"), ("a b/c\\d:e", "a-b-c-d-e"), ("\u202e", "concept"), ("..", "concept"), ("a" * 99, "a" * 60)],
)  # fmt: skip
def test_names_in_a_zip_are_safe(name: str, safe: str) -> None:
    assert bundle.safe_name(name) == safe


def test_weights_published_meanwhile_are_not_mixed_in(full: Path) -> None:
    unet = full / "unet/diffusion_pytorch_model.safetensors"
    before = unet.read_bytes()
    with bundle.staged(full) as work:
        aside = full / "new"
        aside.write_bytes(b"new")
        aside.rename(unet)
        assert (work / "files/unet/diffusion_pytorch_model.safetensors").read_bytes() == before


def test_a_link_is_not_followed(full: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (full / "tokenizer/extra.txt").symlink_to(secret)
    with pytest.raises(ConceptError, match=r"extra\.txt is no plain file"), bundle.staged(full):
        pass


def test_what_a_killed_process_left_is_swept(full: Path) -> None:
    left, used, young = (full / f"{bundle.WORK}{name}" for name in ("left", "used", "young"))
    for folder in (left, used, young):
        folder.mkdir()
    with concept.lock(used):
        for folder in (left, used):
            os.utime(folder, (0, 0))
        with bundle.staged(full):
            assert [folder.exists() for folder in (left, used, young)] == [False, True, True]


def test_settings_are_passed_on_without_places(full: Path) -> None:
    settings = concept.read_settings(full)
    settings["config"] |= {
        "instance_data_dir": None,
        "class_data_dir": "../elsewhere/dogs",
        "tokenizer_name": "~/tokens",
        "pretrained_model_name_or_path": "examples/toybox",
        "pretrained_vae_name_or_path": "studio/vae",
        "resume_from_checkpoint": "latest",
        "concepts_list": [{"instance_data_dir": "/home/alice/dog", "instance_prompt": "a /home/bob dog"}],
    }
    (full / concept.SETTINGS_FILE).write_text(json.dumps(settings))
    with bundle.staged(full) as work:
        config = json.loads((work / "files" / concept.SETTINGS_FILE).read_text())["config"]
    assert config["class_data_dir"] == "dogs"
    assert config["tokenizer_name"] == "tokens"
    assert config["pretrained_model_name_or_path"] == "examples/toybox"
    assert config["pretrained_vae_name_or_path"] == "studio/vae"
    assert config["resume_from_checkpoint"] is None
    assert config["concepts_list"] == [{"instance_data_dir": "dog", "instance_prompt": "a /home/bob dog"}]
