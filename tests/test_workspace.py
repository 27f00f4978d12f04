"""Folders of concepts: each owner's own, under names of ours."""

from pathlib import Path

import pytest

from trainer import concept, workspace
from trainer.errors import ConceptError
from trainer.workspace import Workspace


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_an_owner_is_a_hash_and_never_a_path(space: Workspace) -> None:
    for owner in ("local", "../../etc", "/etc/passwd", "a\0b", "\ud800", "", "x" * 10_000):
        home = space.home(owner)
        assert home.parent == space.root
        assert len(home.name) == 16
        assert set(home.name) <= set("0123456789abcdef")
    assert space.home("a") != space.home("b")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My Bear", "my-bear"),
        ("../../../etc/passwd", "etc-passwd"),
        ("Ünïcödé  Käfer", "unicode-kafer"),
        ("熊", "concept"),
        ("class_images", "class-images"),
        ("x" * 500, "x" * 40),
        (".hidden\0\n", "hidden"),
    ],
)
def test_a_title_becomes_a_safe_name(space: Workspace, title: str, name: str) -> None:
    directory = space.create("local", title)
    assert directory == space.home("local") / name
    assert directory.is_dir()
    assert space.concepts("local") == [directory]


def test_the_title_is_kept_as_one_clean_line(space: Workspace) -> None:
    directory = space.create("local", "  My\n<b>bear</b>\u202e \0 熊 ")
    assert workspace.read_title(directory) == "My <b>bear</b> 熊"
    assert len(workspace.read_title(space.create("local", "y" * 500))) == 80


def test_a_folder_without_a_title_goes_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "teddy-bear").mkdir()
    assert workspace.read_title(tmp_path / "teddy-bear") == "teddy-bear"


def test_no_title_is_refused(space: Workspace) -> None:
    for title in ("", " \n", "\u202e\0"):
        with pytest.raises(ConceptError, match="needs a name"):
            space.create("local", title)


def test_titles_may_repeat_and_folders_do_not(space: Workspace) -> None:
    made = [space.create("local", "Bear") for _ in range(3)]
    assert [path.name for path in made] == ["bear", "bear-2", "bear-3"]
    assert {workspace.read_title(path) for path in made} == {"Bear"}
    assert space.concepts("local") == made[::-1]


def test_class_images_are_no_concept(space: Workspace) -> None:
    (space.home("local") / "class_images" / "a-bear").mkdir(parents=True)
    assert space.concepts("local") == []


def test_another_owners_concept_is_as_if_it_were_not_there(space: Workspace) -> None:
    theirs = space.create("theirs", "Bear")
    space.create("mine", "Mug")
    assert space.find("theirs", "bear") == theirs
    said = []
    for owner, name in [("mine", "bear"), ("nobody", "bear")]:
        with pytest.raises(ConceptError) as caught:
            space.find(owner, name)
        said.append(str(caught.value))
    assert said == ["There is no concept called bear."] * 2


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../{home}/bear", "bear/", "bear/..", "/bear", "bear\0", "*"]
)
def test_a_name_is_never_a_path(space: Workspace, name: str) -> None:
    directory = space.create("local", "Bear")
    with pytest.raises(ConceptError, match="There is no concept called"):
        space.find("local", name.format(home=directory.parent.name))


def test_what_was_made_before_logging_in_comes_along(space: Workspace) -> None:
    space.create("account ann", "Bear")
    old = space.create("visitor 1", "Bear")
    (old / "draft.json").write_text("{}")
    space.create("visitor 1", "Cat")
    space.adopt("visitor 1", "account ann")
    assert space.concepts("visitor 1") == []
    assert {path.name for path in space.concepts("account ann")} == {"bear", "bear-2", "cat"}
    assert (space.find("account ann", "bear-2") / "draft.json").read_text() == "{}"


def test_deleting_leaves_nothing(space: Workspace) -> None:
    directory = space.create("local", "Bear")
    (directory / "unet").mkdir()
    (directory / "unet" / "weights").write_bytes(b"x")
    concept.remove(workspace.put_aside(directory))
    assert list(space.home("local").iterdir()) == []
    assert space.create("local", "Bear") == directory


def test_what_is_being_trained_cannot_be_deleted(space: Workspace) -> None:
    directory = space.create("local", "Bear")
    with concept.lock(directory), pytest.raises(ConceptError, match="another training is writing here"):
        workspace.put_aside(directory)
    assert space.concepts("local") == [directory]


def test_a_deletion_cut_short_is_finished(space: Workspace) -> None:
    directory = space.create("local", "Bear")
    workspace.put_aside(directory)
    assert space.concepts("local") == []
    space.sweep()
    assert list(space.home("local").iterdir()) == []
