"""The golden cases through `flyback analyze`: chips, input, embeddings, spectra, quantification, few-shot.

a_tiny and its SqueezeNet embeddings lie here and are never skipped; the other cases need ../shared. Tolerances
are those of the golden definitions: mapping and resize 1e-3; embeddings relative L2 1e-4; spectra exact; distances
1e-5 relative and scores 1e-5 from the golden embeddings, labels exact unless the two best scores are that close;
windows exact, intensities 1e-9 of the largest of their row, atomic percents 1e-6.
"""

import filecmp
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, TESTS, run, shared  # noqa: E402

TINY = os.path.join(TESTS, "golden", "a_tiny")


def analyze(*args):
    out = tempfile.mkdtemp(prefix="fly.golden.")
    done = subprocess.run([BINARY, "analyze", *args, "--no-pictures", "--out", out], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=200 * SLOW, text=True)
    assert done.returncode == 0, done.stdout
    return out


class Pair:
    """Expected and written arrays of one name."""

    def __init__(self, case, expected, out):
        self.folders = os.path.join(case, expected), out

    def has(self, name):
        return os.path.exists(os.path.join(self.folders[0], name + ".npy"))

    def load(self, name, ours=None):
        return (np.load(os.path.join(self.folders[0], name + ".npy")),
                np.load(os.path.join(self.folders[1], (ours or name) + ".npy")))


def compare_embeddings(pair):
    if pair.has("emb"):
        want, got = pair.load("emb")
    else:
        want, got = pair.load("emb_some", "emb")
        got = got[np.load(os.path.join(pair.folders[0], "emb_index.npy"))]
    assert want.shape == got.shape and got.dtype == np.float32
    worst = (np.linalg.norm(want.astype(float) - got, axis=1) / np.linalg.norm(want.astype(float), axis=1)).max()
    assert worst <= 1e-5, worst
    return worst


def compare_fewshot(pair, modality, exact):
    dist, got_dist = pair.load("fs_dist_" + modality)
    score, got_score = pair.load("fs_score_" + modality)
    label, got_label = pair.load("fs_label_" + modality)
    assert got_dist.shape == dist.shape and got_label.dtype == label.dtype
    top = np.sort(score, axis=1)
    clear = top[:, -1] - top[:, -2] >= 1e-5 if score.shape[1] > 1 else np.ones(len(score), bool)
    if exact:
        assert (np.abs(dist - got_dist) <= 1e-5 * dist).all()
        assert (np.abs(score - got_score) <= 1e-5).all()
        assert (label == got_label)[clear].all()
    else:  # from our own embedding pass: labels at least 99.8 % equal
        assert (label == got_label).mean() >= 0.998, (label == got_label).mean()


def compare_ensembles(pair, case):
    with open(os.path.join(case, "params.json")) as file:
        weights = json.load(file)["ens_weights"]
    for a, b in weights:
        name = "ens_%g_%g" % (a, b)
        score, got_score = pair.load("fs_score_" + name)
        label, got_label = pair.load("fs_label_" + name)
        assert (np.abs(score - got_score) <= 1e-5).all(), name
        top = np.sort(score, axis=1)
        assert (label == got_label)[top[:, -1] - top[:, -2] >= 1e-5].all(), name


def compare_spectra(pair):
    for name in ("spec_chip_total", "spec_channel_total"):
        want, got = pair.load(name)
        assert want.dtype == got.dtype and np.array_equal(want, got), name
    want, got = pair.load("spec_nnz")
    got = got[got[:, 0] <= want[:, 0].max()] if len(want) else got
    assert np.array_equal(want, got)


def compare_quantities(pair):
    """Windows, intensities and atomic percents of every chip, by both methods; returns the worst percent."""
    want, got = pair.load("eds_windows")
    assert np.array_equal(want, got)
    worst = 0.0
    for method in ("fit", "window"):
        want, got = pair.load("int_" + method)
        assert want.shape == got.shape
        scale = np.abs(want.astype(float)).max(axis=1, keepdims=True)
        limit = 1e-9 if want.dtype == np.float64 else 1e-6  # large cases are stored in single precision
        assert (np.abs(want - got) <= limit * np.maximum(scale, 1)).all(), (method, np.abs(want - got).max())
        want, got = pair.load("at_" + method)
        limit = 1e-6 if want.dtype == np.float64 else 1e-5
        worst = max(worst, np.abs(want - got).max())
        assert worst <= limit, (method, worst)
    return worst


def compare_regions(pair, expected, result, labelling):
    """Composition of every region of a labelling, and what sets two of them apart."""
    want, got = expected["post"][labelling], result["post"][labelling]
    assert want.keys() <= got.keys(), (labelling, want.keys(), got.keys())
    for label in want:
        if label == "percent_difference_2_vs_1":
            for kind in ("relative", "symmetric"):
                assert np.allclose(want[label][kind], got[label][kind], rtol=1e-6, atol=1e-6)
            continue
        assert want[label]["chips"] == got[label]["chips"]
        for element, percent in want[label]["at_percent"].items():
            assert abs(percent - got[label]["at_percent"][element]) <= 1e-6, (labelling, label, element)
        assert np.allclose(want[label]["La_Fe_O_extraneous"], got[label]["La_Fe_O_extraneous"], rtol=0, atol=1e-6)


def compare_case(case, exact_labels):
    pair = Pair(case, "expected", analyze("--case", case))
    for name in ("chip0_255", "input_grey_first4"):
        want, got = pair.load(name)
        assert want.shape == got.shape and np.abs(want - got).max() <= 1e-3, name
    compare_spectra(pair)
    worst = compare_embeddings(pair)
    percent = compare_quantities(pair)
    compare_fewshot(pair, "spec", True)
    compare_fewshot(pair, "at", True)
    compare_fewshot(pair, "emb", False)
    expected = json.load(open(os.path.join(case, "expected", "expected.json")))
    result = json.load(open(os.path.join(pair.folders[1], "result.json")))
    trace, got = np.array(expected["layer_trace_chip0_mean_l2"]), np.array(result["layer_trace_chip0_mean_l2"])
    assert trace.shape == got.shape and np.abs(got / trace - 1).max() <= 1e-5
    assert result["profile"] == "paper" and result["version"]
    if exact_labels:  # the golden embeddings in, golden distances, scores and labels out
        emb = os.path.join(case, "expected", "emb.npy")
        given = Pair(case, "expected", analyze("--case", case, "--emb", emb))
        compare_fewshot(given, "emb", True)
        compare_ensembles(given, case)
        result = json.load(open(os.path.join(given.folders[1], "result.json")))
        compare_regions(given, expected, result, "fewshot")
    compare_regions(pair, expected, result, "truth")
    return "embeddings within %.2g, atomic percents within %.2g" % (worst, percent)


def a_tiny_is_golden():
    return compare_case(TINY, True)


def the_squeezenet_embeddings_of_a_tiny_get_their_golden_labels():
    emb = os.path.join(TINY, "expected_squeezenet", "emb.npy")
    compare_fewshot(Pair(TINY, "expected_squeezenet", analyze("--case", TINY, "--emb", emb)), "emb", True)


def neither_order_nor_threads_change_a_byte():
    first = analyze("--case", TINY, "--set", "engine.threads=1")
    for seed in range(10):
        other = analyze("--case", TINY, "--order", "random:%d" % seed, "--set", "engine.threads=%d" % (1 + seed % 2))
        names = sorted(os.listdir(first))
        assert names == sorted(os.listdir(other))
        _, differ, missing = filecmp.cmpfiles(first, other, [n for n in names if n != "timing.json"], shallow=False)
        assert not differ and not missing, (seed, differ, missing)


def the_small_cases_are_golden():
    told = []
    for name in ("b_pristine01", "c_defective0", "d_defective01", "e_size64_tv", "f_gmp_coarse"):
        told.append(name + " " + compare_case(shared("golden", name), True))
    return "; ".join(told)


def the_four_samples_of_table_ii_are_golden():
    names = ("table2_pristine_0", "table2_pristine_0.1", "table2_defective_0", "table2_defective_0.1")
    folders = [shared("golden", name) for name in names]
    if SLOW > 1:
        folders = folders[:1]  # the arithmetic is the same; sanitizers have their own patience
    return "; ".join(os.path.basename(f) + " " + compare_case(f, False) for f in folders)


def the_real_squeezenet_gives_its_golden_embeddings():
    weights = shared("weights", "squeezenet1_1_features_caffe.safetensors")
    told = []
    for name in ("a_tiny", "d_defective01"):
        case = shared("golden", name)
        out = analyze("--case", case, "--set", "embed.model=squeezenet1_1", "--set", "embed.weights=" + weights,
                      "--set", "embed.input_px=64")
        pair = Pair(case, "expected_squeezenet", out)
        told.append("%s within %.2g" % (name, compare_embeddings(pair)))
        compare_fewshot(pair, "emb", False)
    return "; ".join(told)


run(a_tiny_is_golden, the_squeezenet_embeddings_of_a_tiny_get_their_golden_labels,
    neither_order_nor_threads_change_a_byte, the_small_cases_are_golden,
    the_four_samples_of_table_ii_are_golden, the_real_squeezenet_gives_its_golden_embeddings, timeout_s=200)
