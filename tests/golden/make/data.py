"""Golden files of tests/data: arrays, images, tables and choices made by numpy, Pillow and Keras.

Run with numpy, Pillow and keras installed: python tests/golden/make/data.py [tests/golden/data]
"""
import io
import os
import sys
import zipfile

import numpy as np
from PIL import Image

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "data")
os.makedirs(os.path.join(out, "images"), exist_ok=True)
rng = np.random.default_rng(7)


def path(*parts):
    return os.path.join(out, *parts)


# --- arrays: one input a dtype; the expected values are their float32 forms, one after the other
dtypes = ["|u1", "|b1", "|i1", "<u2", ">u2", "<i2", ">i4", "<u4", "<i8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
arrays = {}
for i, dtype in enumerate(dtypes):
    kind = np.dtype(dtype).kind
    if kind == "f":
        a = (rng.standard_normal((5, 2, 3)) * 100).astype(dtype)
        a[0, 0, 0] = -0.0
        a[0, 0, 1] = np.finfo(np.float16).smallest_subnormal * 3
    elif kind == "b":
        a = rng.integers(0, 2, (5, 2, 3)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        a = rng.integers(info.min, info.max, (5, 2, 3), dtype=np.dtype(dtype).newbyteorder("="), endpoint=True).astype(dtype)
    if i % 2:
        a = np.asfortranarray(a)
    arrays["x%d" % i] = a
y = np.array([0, 2, 1, 2, 0], dtype=np.int64)
np.savez(path("stored.npz"), **arrays, y=y)
np.savez_compressed(path("deflated.npz"), **arrays, y=y)
zipfile.ZIP64_LIMIT = 1
np.savez(path("zip64.npz"), **arrays, y=y)
zipfile.ZIP64_LIMIT = (1 << 31) - 1
with np.errstate(over="ignore"):
    np.concatenate([np.ascontiguousarray(a).astype("<f4").ravel() for a in arrays.values()]).tofile(path("arrays.f32"))

for version in (1, 2, 3):
    with open(path("version%d.npy" % version), "wb") as f:
        np.lib.format.write_array(f, np.arange(24, dtype="<i2").reshape(4, 3, 2), version=(version, 0))

x_train = rng.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
np.savez_compressed(path("parts.npz"), x_train=x_train, y_train=np.array([[0], [1], [2], [0], [1], [2]], np.uint8),
                    x_test=x_train[:2] ^ 255, y_test=np.array([[4], [1]], np.uint8))
np.savez(path("regression.npz"), x=np.ones((3, 2), np.float32), y=np.array([0.5, -1, 2], np.float64))
np.savez(path("onehot.npz"), x=np.ones((3, 2), np.float32), y=np.eye(4, dtype=np.float32)[[2, 0, 2]])
np.savez(path("several.npz"), x=np.ones((3, 2), np.float32), y=np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]], np.int32))
np.savez(path("weighted.npz"), x=np.ones((3, 2), np.float32), y=np.array([0, 1, 0]), sample_weight=np.array([0.5, 2, 0]))

# --- images: 9 x 7 pixels of every kind; the expected values are Pillow's RGB, files in the order of their names
rgb = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
smooth = np.clip(np.add.outer(np.arange(7) * 20, np.arange(9) * 10)[..., None] + [0, 30, 60], 0, 255).astype(np.uint8)
gray = rng.integers(0, 256, (7, 9), dtype=np.uint8)
alpha = rng.integers(0, 256, (7, 9, 1), dtype=np.uint8)
images = {
    "a_rgb.png": Image.fromarray(rgb),
    "b_gray.png": Image.fromarray(gray),
    "c_palette.png": Image.fromarray(rgb).quantize(16),
    "d_rgba.png": Image.fromarray(np.concatenate([rgb, alpha], 2)),
    "e_gray_alpha.png": Image.fromarray(np.concatenate([gray[..., None], alpha], 2), "LA"),
    "f_one_bit.png": Image.fromarray(gray > 127),
    "g_palette_few.png": Image.fromarray(rgb).quantize(3),
    "h_rgb.jpg": Image.fromarray(smooth),
    "i_gray.jpg": Image.fromarray(smooth[..., 0]),
    "j_progressive.jpeg": Image.fromarray(smooth),
    "k_full.JPG": Image.fromarray(smooth),
}
for name, image in images.items():
    options = {}
    if name.startswith("j"):
        options = {"progressive": True}
    if name.startswith("k"):
        options = {"subsampling": 0, "quality": 95}
    if name.startswith("g"):
        options = {"bits": 2}
    image.save(path("images", name), **options)
files = sorted(os.listdir(path("images")))
np.concatenate([np.asarray(Image.open(path("images", f)).convert("RGB")).ravel() for f in files]).tofile(path("images.u8"))

# --- tables: numbers as people write them; the expected values are float32(float(text))
texts = ["0", "-0", "1", "+2", "0.1", "-.5", "3.", "1e3", "1E-3", "1.7976931348623157e308", "4.9e-324", "123456789012345678",
         "0.30000000000000004", "16777217", "8388609.5", "2.2250738585072014e-308", " 7", "1e22", "1e23", "9007199254740993",
         "0.000001", "340282356779733661637539395458142568447", "1.00000017881393432617187499", "3.4e38"]
with open(path("numbers.csv"), "w") as f:
    f.write("number,label\n" + "".join('"%s",%d\n' % (t, i % 3) if i % 2 else "%s,%d\n" % (t, i % 3) for i, t in enumerate(texts)))
with np.errstate(over="ignore", under="ignore"):
    np.array([float(t) for t in texts], np.float64).astype("<f4").tofile(path("numbers.f32"))

# --- preprocessing: all 256 values in each channel, by Keras itself where Keras has it
from keras.src.applications.imagenet_utils import preprocess_input  # noqa: E402

values = np.arange(256, dtype=np.float32)
pixels = np.stack([values, values[::-1], np.roll(values, 77)], -1).reshape(1, 16, 16, 3)
mean = np.array([10.5, 20.25, 30.125], np.float32)
std = np.array([3, 0.7, 64.5], np.float32)
expected = [pixels / np.float32(255)]
expected += [preprocess_input(pixels.copy(), data_format="channels_last", mode=m) for m in ("tf", "caffe", "torch")]
expected += [(pixels - mean) / std]
np.concatenate([e.astype("<f4").ravel() for e in expected]).tofile(path("preprocess.f32"))

# --- herding: Rebuffi et al. 2017, algorithm 4, per class
features = rng.standard_normal((90, 6)).astype(np.float32)
features[17] = 0
labels = rng.integers(0, 3, 90).astype(np.int32)
chosen = []
for k in range(3):
    members = np.flatnonzero(labels == k)
    phi = features[members].astype(np.float64)
    norm = np.linalg.norm(phi, axis=1, keepdims=True)
    phi = phi / np.where(norm > 0, norm, 1)
    mu = phi.mean(0)
    taken = []
    for m in range(1, 8):
        cost = [np.inf if i in taken else np.sum((mu - (phi[taken].sum(0) + phi[i]) / m) ** 2) for i in range(len(members))]
        taken.append(int(np.argmin(cost)))
    chosen += [int(members[i]) for i in taken]
features.tofile(path("herding.f32"))
labels.tofile(path("herding_labels.i32"))
np.array(chosen, "<i4").tofile(path("herding_chosen.i32"))
