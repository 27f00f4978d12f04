"""What the READMEs show and name is in the repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", *sorted(ROOT.glob("examples/*/README.md"))]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_linked_is_there(readme: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", readme.read_text(encoding="utf-8"))
    ours = [link for link in links if "://" not in link]
    assert [link for link in ours if not (readme.parent / link).exists()] == []


def test_every_file_of_the_map_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chart = text.partition("## The map")[2].split("```")[1]
    names = set(re.findall(r"\b\w+\.(?:py|css)\b", chart))
    files = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts} | {"studio.css"}
    assert len(names) > 60 and names - files == {"X.py", "test_X.py"}
    trainer = {path.name for path in (ROOT / "trainer").rglob("*.py")} - {"__init__.py"}
    assert trainer - names == set()
