"""Writes ``test/fixtures/pixels``: image files, and the pixels Pillow and torchvision make of them.

Run with ``python -m scripts.write_pixel_fixtures``. The photographs are scikit-image's: chelsea
(CC0, Stefan van der Walt), astronaut and rocket (NASA and SpaceX, public domain).
"""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageCms
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.transforms import InterpolationMode  # type: ignore[import-untyped]
from torchvision.transforms import functional as F

FOLDER = Path(__file__).parent.parent / "test" / "fixtures" / "pixels"
# Odd, so that JPEG's last blocks are partial.
WIDTH, HEIGHT = 19, 13
# Of a 224 x 224 result every eighth pixel each way is kept, so that the fixture stays small.
STRIDE = {32: 1, 224: 8}
RESIZE = {32: 37, 224: 256}


def _photograph(name: str) -> Image.Image:
    """Without the file's metadata, which Pillow would write into every picture made from it."""
    image = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
    return Image.fromarray(np.asarray(image))


def _encode(levels: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(levels).tobytes()).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png16(levels: NDArray[np.uint16], colour_type: int) -> bytes:
    """A 16-bit PNG; Pillow itself writes only gray ones."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _insert_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Adds a chunk before the pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + _chunk(kind, content) + png[at:]


def _foreign_profile() -> bytes:
    """An sRGB profile with red and blue exchanged: not to be missed if it is applied."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        kind, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        places[kind] = slice(offset, offset + length)
    red, blue = bytes(profile[places[b"rXYZ"]]), bytes(profile[places[b"bXYZ"]])
    profile[places[b"rXYZ"]], profile[places[b"bXYZ"]] = blue, red
    # The date of creation; nothing reads it.
    profile[24:36] = bytes(12)
    return bytes(profile)


def write_decode_fixtures(folder: Path) -> dict[str, Any]:
    """One small file for every kind of image, and its pixels by Pillow's ``convert("RGB")``."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = _photograph("chelsea.png").crop((140, 90, 140 + 2 * WIDTH, 90 + 2 * HEIGHT))
    rgb = rgb.resize((WIDTH, HEIGHT))
    gray = rgb.convert("L")
    ramp = np.add.outer(np.arange(HEIGHT) * 8, np.arange(WIDTH) * 5) % 256
    alpha = Image.fromarray(ramp.astype(np.uint8))
    rgba = Image.merge("RGBA", (*rgb.split(), alpha))
    palette = rgb.quantize(32)
    negative = Image.eval(rgb, lambda level: 255 - level)
    profile = _foreign_profile()
    rotated = Image.Exif()
    rotated[0x0112] = 6  # orientation: a quarter turn

    images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.png": (rgb, {}),
        "rgb.jpg": (rgb, {"quality": 90}),
        "rgb-444.jpg": (rgb, {"quality": 90, "subsampling": 0}),
        "rgb-422.jpg": (rgb, {"quality": 90, "subsampling": 1}),
        "progressive.jpg": (rgb, {"quality": 90, "progressive": True}),
        "rgb.webp": (rgb, {"quality": 80}),
        "lossless.webp": (rgb, {"lossless": True}),
        "rgb.tif": (rgb, {}),
        "lzw.tif": (rgb, {"compression": "tiff_lzw"}),
        "gray.png": (gray, {}),
        "gray.jpg": (gray, {"quality": 90}),
        "gray.tif": (gray, {}),
        "gray-alpha.png": (Image.merge("LA", (gray, alpha)), {}),
        "bilevel.png": (gray.convert("1"), {}),
        "gray-4bit.png": (gray.quantize(16), {"bits": 4}),
        "rgba.png": (rgba, {}),
        "rgba.webp": (rgba, {"lossless": True}),
        "rgba.tif": (rgba, {}),
        "palette.png": (palette, {}),
        "palette.gif": (palette, {}),
        "palette-transparent.png": (palette, {"transparency": 5}),
        "palette-alpha.png": (palette, {"transparency": bytes(range(0, 256, 8))}),
        "cmyk.jpg": (rgb.convert("CMYK"), {"quality": 95}),
        "cmyk.tif": (rgb.convert("CMYK"), {}),
        "ycbcr.tif": (rgb, {"compression": "jpeg"}),
        "exif-rotated.jpg": (rgb, {"quality": 90, "exif": rotated}),
        "exif-rotated.png": (rgb, {"exif": rotated}),
        "profile.jpg": (rgb, {"quality": 90, "icc_profile": profile}),
        "profile.png": (rgb, {"icc_profile": profile}),
        "profile-broken.jpg": (rgb, {"quality": 90, "icc_profile": b"no profile"}),
        "animated.gif": (rgb, {"save_all": True, "append_images": [negative]}),
        "animated.webp": (rgb, {"save_all": True, "append_images": [negative], "lossless": True}),
        "animated.png": (rgb, {"save_all": True, "append_images": [negative]}),
        "pages.tif": (rgb, {"save_all": True, "append_images": [negative]}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)

    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint16)
    deep = np.asarray(rgba).astype(np.uint16) * 256 + noise
    deep_gray = np.asarray(gray).astype(np.uint16) * 256 + noise[..., 0]
    jpeg = (folder / "rgb.jpg").read_bytes()
    raw = {
        "rgb-16bit.png": _png16(deep[..., :3], 2),
        "rgba-16bit.png": _png16(deep, 6),
        "gray-alpha-16bit.png": _png16(np.stack([deep_gray, deep[..., 3]], axis=2), 4),
        "gray-16bit.png": _png16(deep_gray, 0),
        "colour-key.png": _insert_chunk(
            (folder / "rgb.png").read_bytes(),
            b"tRNS",
            struct.pack(">HHH", *np.asarray(rgb)[3, 3].tolist()),
        ),
        "gamma.png": _insert_chunk(
            (folder / "rgb.png").read_bytes(), b"gAMA", struct.pack(">I", 100_000)
        ),
        # Oddities that Pillow reads; libjpeg warns about the stray bytes.
        "trailing-bytes.jpg": jpeg + bytes(100),
        "fill-bytes.jpg": jpeg[:2] + b"\xff\xff" + jpeg[2:],
        "stray-bytes.jpg": jpeg.replace(b"\xff\xda", b"\0\0\xff\xda", 1),
    }
    for name, content in raw.items():
        (folder / name).write_bytes(content)

    references = {}
    for name in sorted([*images, *raw]):
        with Image.open(folder / name) as image:
            pixels = np.asarray(image.convert("RGB"))
        if name == "gray-16bit.png":
            # The one exception: Pillow would cut at 255 and give white.
            pixels = np.repeat((deep_gray >> 8).astype(np.uint8)[..., None], 3, axis=2)
        references[name] = {
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "rgb": _encode(pixels),
        }
    return references


def write_transform_fixtures(folder: Path) -> list[dict[str, Any]]:
    """Lossless images, and torchvision's crops of them in levels of 255, before normalisation."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "photograph.png": _photograph("chelsea.png").crop((110, 60, 110 + 121, 60 + 91)),
        "panorama.png": _photograph("rocket.jpg").crop((40, 150, 40 + 250, 150 + 31)),
        "tall.png": _photograph("astronaut.png").crop((200, 0, 200 + 29, 240)),
        "small.png": _photograph("astronaut.png").crop((210, 60, 210 + 21, 60 + 26)),
    }
    cases: list[dict[str, Any]] = []
    for name, image in sources.items():
        image.save(folder / name, optimize=True)
        w, h = image.size
        for size, stride in STRIDE.items():

            def keep(result: Image.Image, stride: int = stride) -> str:
                return _encode(np.asarray(result)[::stride, ::stride])

            chain = transforms.Compose(
                [transforms.Resize(RESIZE[size]), transforms.CenterCrop(size)]
            )
            if size == 32 or name == "photograph.png":
                cases.append({"image": name, "size": size, "levels": keep(chain(image))})
            # The whole image, mirrored; an enlarged crop; a shrunk one; narrow; low and mirrored.
            boxes = [
                ([0, 0, h, w], True),
                ([h // 3, w // 4, min(19, h // 2), min(23, w // 2)], False),
                ([h // 10, w // 10, h * 3 // 4, w * 4 // 5], False),
                ([0, w // 2, h, max(1, w // 9)], False),
                ([h // 2, 0, max(1, h // 9), w], True),
            ]
            for index, (box, flip) in enumerate(boxes):
                if size == 224 and index not in (1, 2):
                    continue
                crop = F.resized_crop(image, *box, [size, size], InterpolationMode.BILINEAR)
                result = F.hflip(crop) if flip else crop
                cases.append(
                    {"image": name, "size": size, "box": box, "flip": flip, "levels": keep(result)}
                )
    return cases


def main() -> None:
    """Rewrites the folder's files and ``references.json``."""
    references = {
        "stride": STRIDE,
        "decode": write_decode_fixtures(FOLDER / "decode"),
        "transforms": write_transform_fixtures(FOLDER / "transforms"),
    }
    (FOLDER / "references.json").write_text(json.dumps(references, indent=1) + "\n")


if __name__ == "__main__":
    main()
