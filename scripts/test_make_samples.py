import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import make_samples
from scripts.make_samples import CLASSES, COUNTS, DEFAULT_OUT, SIDE, SPLIT, photograph, plan, write


def read(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.suffix in {".jpg", ".json"}
    }


def test_the_committed_samples_are_what_the_script_makes(tmp_path: Path) -> None:
    write(tmp_path)
    assert read(tmp_path) == read(DEFAULT_OUT)


def test_another_seed_makes_another_set(tmp_path: Path) -> None:
    write(tmp_path, seed=make_samples.SEED + 1)
    made = read(tmp_path)
    assert made.keys() == read(DEFAULT_OUT).keys()
    assert made != read(DEFAULT_OUT)


def test_no_pixel_is_in_both_training_and_validation() -> None:
    touched = {split: np.zeros((len(CLASSES), SIDE, SIDE), bool) for split in COUNTS}
    for file, crop in plan().items():
        split, name, _ = file.split("/")
        assert name == crop.photograph
        assert min(crop.left, crop.top) >= 0
        assert max(crop.left, crop.top) + crop.side <= SIDE
        rows = slice(crop.top, crop.top + crop.side)
        columns = slice(crop.left, crop.left + crop.side)
        touched[split][CLASSES.index(name), rows, columns] = True
    assert not np.any(touched["train"] & touched["val"])
    assert not touched["train"][:, :, SPLIT:].any()
    assert touched["val"].any()


def test_a_picture_is_the_crop_that_the_list_names(tmp_path: Path) -> None:
    write(tmp_path)
    listing = json.loads((tmp_path / "crops.json").read_text(encoding="utf-8"))
    for file in ("train/brick/brick-00.jpg", "val/gravel/gravel-19.jpg"):
        crop = listing["crops"][file]
        picture = np.asarray(Image.open(tmp_path / "textures" / file), dtype=np.int64)
        left, top, side = crop["left"], crop["top"], crop["side"]
        cut = photograph(crop["photograph"])[top : top + side, left : left + side]
        assert picture.shape == cut.shape
        # JPEG loses a little.
        assert float(np.abs(picture - cut).mean()) < 4


def test_another_photograph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skimage.data.brick", lambda: np.zeros((256, 256, 3), np.uint8))
    with pytest.raises(ValueError, match=r"expected .* brick to be 512 x 512"):
        photograph("brick")
