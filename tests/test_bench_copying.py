"""tests/bench_copying.py on the example's photos: the copies are found, and most of the other photos are none."""

import re
import shutil
from pathlib import Path

import bench_copying
import pytest
from bench_copying import ROOT


def test_copies_are_found_and_few_other_photos_pass_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bear = ROOT / "examples/teddy-bear/instance_images"
    shutil.copytree(bear, tmp_path / "bear")
    monkeypatch.setattr(
        "sys.argv", ["bench", "--photos", str(tmp_path), "--samples", str(bear), "--of", "bear"]
    )
    bench_copying.main()
    said = capsys.readouterr().out
    rows = {
        what: (int(ours), int(plain), int(count))
        for what, ours, plain, count in re.findall(r"\| (.+) \| (\d+)% \| (\d+)% \| (\d+) \|", said)
    }
    count = len(list(bear.iterdir()))
    assert rows["copy, as it is"] == (100, 100, count)
    assert rows["given samples"] == (100, 100, count)
    ours, plain, _ = rows["another photo of the subject"]
    assert ours == 0 < plain  # 25 when this was written: two of the eight
    assert all(count == of for _, _, of in rows.values()) and len(rows) == 8
