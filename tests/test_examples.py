"""The trained examples: small enough for a Space, each loads, has learnt something, and says why that step was kept."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from examples import keep
from trainer import choice, concept, generation, models
from trainer.errors import ConceptError
from trainer.ui import catalogue

ROOT = Path(__file__).parent.parent
EXAMPLES = ("teddy-bear", "toadstool-teapot", "two-ink-print")
MB = 1_000_000


def test_the_studio_opens_with_the_bear_and_offers_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {choice.key: (choice.word, choice.prompts[0]) for choice in catalogue.examples()}
    assert found == {
        "example/teddy-bear": ("sks teddy bear", "a photo of a sks teddy bear on the beach"),
        "example/toadstool-teapot": ("sks teapot", "a photo of a sks teapot on the beach"),
        "example/two-ink-print": ("sks style", "a picture of a red car on the beach in the sks style"),
    }


def test_a_space_takes_the_repository_as_it_is() -> None:
    files = (path for path in (ROOT / "examples").rglob("*") if path.is_file())
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in files}
    assert max(sizes.values()) <= 10 * MB
    weighty = (
        "examples/toybox/",
        *(f"examples/{name}/{part}/" for name in EXAMPLES for part in ("concept", "instance_images")),
    )
    assert sum(size for name, size in sizes.items() if name.startswith(weighty)) <= 120 * MB


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_answers_otherwise_than_its_base(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    folder = Path("examples") / name / "concept"
    config = concept.read_settings(folder)["config"]
    paths = [config[key] for key in ("pretrained_model_name_or_path", "instance_data_dir", "output_dir")]
    assert not any(Path(path).is_absolute() for path in paths)
    assert Path(config["instance_data_dir"]).is_dir()
    prompt = config["instance_prompt"]
    ours = models.probe(generation.load_concept(folder), prompt)
    base = models.probe(generation.load_base(folder), prompt)
    assert float((ours - base).abs().mean()) > 0.02
    assert bool(torch.isfinite(ours).all())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_s_report_says_why_its_step_was_kept(name: str) -> None:
    folder = ROOT / "examples" / name / "concept"
    report = choice.read(folder)
    assert report is not None
    balances = {each.step: each.balance(report.yardstick) for each in report.judged}
    first, *_, last = balances
    said = {first: ", the first,", last: ", the last,"}.get(report.kept, "")
    assert report.verdict.startswith(f"Step {report.kept}{said} is kept: ")
    assert said or balances[report.kept] >= max(balances[first], balances[last])
    for step in balances:
        assert len(list((folder / choice.IMAGES).glob(f"{step:06d}-*.png"))) >= len(report.places)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_concept_is_kept_at_half_precision_with_its_report(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory: Path = request.getfixturevalue(kind)
    report = ROOT / "examples" / "teddy-bear" / "concept" / choice.FILE
    (directory / choice.FILE).write_bytes(report.read_bytes())
    (directory / choice.IMAGES).mkdir()
    (directory / choice.IMAGES / "000100-0.png").write_bytes(b"picture")
    monkeypatch.setattr(keep, "HERE", tmp_path / "examples")
    for _ in range(2):  # the second over the first
        keep.main(["--concept", str(directory), "--example", "mine"])
    kept = tmp_path / "examples" / "mine" / "concept"
    assert choice.read(kept) == choice.read(report.parent)
    assert (kept / choice.IMAGES / "000100-0.png").read_bytes() == b"picture"
    weights = {path.relative_to(kept).as_posix() for path in kept.rglob("*.safetensors")}
    written = {path.relative_to(directory).as_posix() for path in directory.rglob("*.safetensors")}
    assert weights == {name for name in written if not name.startswith("checkpoint-")}
    for name in weights:
        ours, theirs = load_file(kept / name), load_file(directory / name)
        assert all(torch.equal(ours[key], theirs[key].to(ours[key].dtype)) for key in theirs)
        assert {weight.dtype for weight in ours.values() if weight.is_floating_point()} == {torch.float16}
    prompt = concept.read_settings(kept)["config"]["instance_prompt"]
    ours, theirs = (models.probe(generation.load_concept(folder), prompt) for folder in (kept, directory))
    assert float((ours - theirs).abs().mean()) < 0.02


def test_what_cannot_be_kept_leaves_what_is_there(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keep, "HERE", tmp_path)
    keep.main(["--concept", str(full), "--example", "mine"])
    kept = tmp_path / "mine" / "concept"
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / concept.SETTINGS_FILE).write_bytes((full / concept.SETTINGS_FILE).read_bytes())
    for source, words in ((tmp_path / "begun", "is not finished"), (kept, "is the example's own concept")):
        with pytest.raises(SystemExit):
            keep.main(["--concept", str(source), "--example", "mine"])
        assert words in capsys.readouterr().err
    with pytest.raises(ConceptError, match="is no concept folder"):
        keep.main(["--concept", str(tmp_path / "nowhere"), "--example", "mine"])
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
