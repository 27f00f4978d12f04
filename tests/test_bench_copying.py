"""tests/bench_copying.py on the example's photos: the copies are found, and no other photo is called one."""

import re
import shutil
from pathlib import Path

import bench_copying
import pytest
from bench_copying import ALTERED, FEWEST, ROOT

from trainer import photos


def test_copies_are_found_and_other_photos_pass_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bear = tmp_path / "bear"
    bear.mkdir()
    for path in photos.list_photos(ROOT / "examples/teddy-bear/instance_images")[:FEWEST]:
        shutil.copy(path, bear)
    monkeypatch.setattr(
        "sys.argv", ["bench", "--photos", str(tmp_path), "--samples", str(bear), "--of", "bear"]
    )
    bench_copying.main()
    rows = {}
    for line in capsys.readouterr().out.splitlines()[2:]:
        what, *shares, count = line.strip("| ").split(" | ")
        assert int(count) == FEWEST
        rows[what] = [int(re.fullmatch(r"(\d+)%", share)[1]) for share in shares]  # type: ignore[index]
    assert rows["given samples"] == rows["copy, as it is"] == [100] * 4
    assert {rows[f"copy, {what}"][0] for what in ALTERED} == {100}
    others = rows["another photo of the subject"]
    assert others[0] == 0 < others[2]  # of any set, two are nearer to each other than the rest
    assert any(rows[f"copy, {what}"][1] < 100 for what in ALTERED)  # the encoders miss some
