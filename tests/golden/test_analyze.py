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


def agreement(a, b):
    """Adjusted Rand index of two partitions."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    twos = lambda x: (x * (x - 1) / 2).sum()
    both, of_a, of_b, pairs = twos(table), twos(table.sum(1)), twos(table.sum(0)), len(a) * (len(a) - 1) / 2
    return 1.0 if of_a == of_b == both else (both - of_a * of_b / pairs) / ((of_a + of_b) / 2 - of_a * of_b / pairs)


def compare_ward(pair, exact, names=("emb", "at", "spec", "vote")):
    """Ward's clusters and heights; exact: from golden features, else from our own embeddings."""
    worst = 0.0
    for name in names:
        want, got = pair.load("ward_" + name)
        if exact or name in ("at", "spec"):
            assert np.array_equal(want, got), (name, agreement(want, got))
        else:
            assert agreement(want, got) >= 0.98, (name, agreement(want, got))
        if name == "vote" or not pair.has("ward_heights_" + name):
            continue
        want, got = pair.load("ward_heights_" + name)
        assert want.shape == got.shape and (np.diff(got) >= 0).all(), name
        if exact or name in ("at", "spec"):  # large cases are stored in single precision
            off = (np.abs(want - got) / np.maximum(want, 1e-9)).max()
            worst = max(worst, off)
            assert off <= 1e-6, (name, off)
    return worst


def compare_numbers(expected, result, methods):
    """Agreement of the modalities with each other and with the truth, of partitions that are golden's."""
    for method in methods:
        for kind in ("ami", "ari"):
            for pair, value in expected[kind][method].items():
                assert abs(result[kind][method][pair] - value) <= 1e-9, (kind, method, pair)
        for modality, numbers in expected["vs_truth"][method].items():
            for kind, value in numbers.items():
                assert abs(result["vs_truth"][method][modality][kind] - value) <= 1e-9, (method, modality, kind)


def compare_regions(pair, expected, result, labelling):
    """Composition and lattice of every region of a labelling, and what sets two of them apart."""
    want, got = expected["post"][labelling], result["post"][labelling]
    assert want.keys() <= got.keys(), (labelling, want.keys(), got.keys())
    for label in want:
        if label == "percent_difference_2_vs_1":
            for kind in ("relative", "symmetric"):
                assert np.allclose(want[label][kind], got[label][kind], rtol=1e-6, atol=1e-6)
            continue
        assert want[label]["chips"] == got[label]["chips"]
        assert want[label]["square"] == got[label]["square"], (labelling, label)
        assert want[label]["crystalline"] == got[label]["crystalline"], (labelling, label)
        if want[label]["d"] is None:
            assert got[label]["d"] is None, (labelling, label)
        else:
            assert abs(want[label]["d"] - got[label]["d"]) <= 1e-4, (labelling, label)
            assert abs(want[label]["snr"] - got[label]["snr"]) <= 1e-3 * want[label]["snr"], (labelling, label)
        for element, percent in want[label]["at_percent"].items():
            assert abs(percent - got[label]["at_percent"][element]) <= 1e-6, (labelling, label, element)
        assert np.allclose(want[label]["La_Fe_O_extraneous"], got[label]["La_Fe_O_extraneous"], rtol=0, atol=1e-6)


def modularity(i, j, w, labels):
    """Weighted, resolution 1, in double: by its definition."""
    m2 = 2 * w.sum()
    if m2 == 0:
        return 0.0
    degree = np.bincount(i, w, len(labels)) + np.bincount(j, w, len(labels))
    inside = 2 * w[labels[i] == labels[j]].sum() / m2
    return inside - ((np.bincount(labels, degree) / m2) ** 2).sum()


def compare_graphs(pair, expected, result, p100, graphs=("emb", "spec", "at", "mix")):
    """The affinity graphs from the golden embeddings: similarities, histograms, thresholds, edges, communities, as
    far as golden stores them. Returns the worst that a modularity falls short of the best known, recomputed on the
    golden graph."""
    worst = 1.0
    for m in graphs:
        want, got = expected["graph"][m], result["graph"][m]
        ours = np.load(os.path.join(pair.folders[1], "affinity_upper_%s.npy" % m))
        sums = np.load(os.path.join(pair.folders[1], "affinity_rowsum_%s.npy" % m))
        pairs, n = len(ours), len(sums)
        assert pairs == n * (n - 1) // 2
        if pair.has("affinity_upper_" + m):
            s, _ = pair.load("affinity_upper_" + m)
            assert np.abs(s - ours).max() <= 1e-5, m
        elif not pair.has("affinity_pairs_" + m):
            s = ours
        else:  # a sample of pairs is stored; ours, held to it, stand for the rest
            a, b = np.load(os.path.join(pair.folders[0], "affinity_pairs_ij_%s.npy" % m)).astype(int).T
            a, b = np.minimum(a, b), np.maximum(a, b)
            sample = np.load(os.path.join(pair.folders[0], "affinity_pairs_%s.npy" % m))
            at = a * (2 * n - a - 1) // 2 + b - a - 1
            assert len(a) > 1000 and np.abs(sample - ours[at]).max() <= 1e-5, m
            s = ours
        if pair.has("affinity_rowsum_" + m):
            assert np.abs(pair.load("affinity_rowsum_" + m)[0] - sums).max() <= 1e-5 * n, m
        for kind in ("m1", "m2", "p100"):
            if not pair.has("hist_%s_%s" % (kind, m)):
                continue
            hist, our_hist = pair.load("hist_%s_%s" % (kind, m))
            assert hist.sum() == our_hist.sum() and np.abs(hist - our_hist).sum() <= max(2, 1e-3 * pairs), (kind, m)
        assert abs(want["mode_m1"] - got["mode_m1"]) <= want["bin_width_m1"], m
        if "mode_m2" in want:
            assert abs(want["mode_m2"] - got["mode_m2"]) <= 2 / 2048, m
        assert m not in p100 or (p100[m]["code"], p100[m]["threshold"], p100[m]["edges"]) == (
            got["p100"]["code"], got["p100"]["threshold"], got["p100"]["edges"]), m
        i, j = np.triu_indices(n, 1)
        s = s.astype(float)
        if abs(want["mode_m1"] - got["mode_m1"]) <= 1e-9 and pair.has("strength_m1_" + m):
            assert abs(want["edges_m1"] - got["edges_m1"]) <= 1e-3 * max(want["edges_m1"], 1000), m
            strength, our_strength = pair.load("strength_m1_" + m)
            # an edge more or less where a similarity and the mode are equal to single precision
            assert (np.abs(strength - our_strength) <= 1e-3 * strength + 1.001).all(), m
        by_p100 = p100[m]["threshold"] if m in p100 else None
        for key, ours, mode, binary in (("louvain_m1", "louvain_" + m, want["mode_m1"], False),
                                        ("louvain_m2", "louvain_m2_" + m, want.get("mode_m2"), False),
                                        ("weight", "louvain_p100_weight_" + m, by_p100, False),
                                        ("binary", "louvain_p100_binary_" + m, by_p100, True)):
            if key not in want and (m not in p100 or key not in p100[m]):
                continue
            best = (want if key in want else p100[m])[key]["q_best"]
            labels = np.load(os.path.join(pair.folders[1], ours + ".npy"))
            assert labels.shape == (n,) and (labels[np.unique(labels, return_index=True)[1]] == np.arange(labels.max() + 1)).all()
            keep = (s >= mode) & (s > 0)
            q = modularity(i[keep], j[keep], np.ones(keep.sum()) if binary else s[keep], labels)
            assert q >= best - 0.002, (m, key, q, best)
            worst = min(worst, q - best)
    return worst


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
        compare_regions(given, expected, result, "ward")
        compare_numbers(expected, result, ("fewshot", "ward"))
        heights = compare_ward(given, True)
        with open(os.path.join(case, "expected", "p100.json")) as file:
            short = compare_graphs(given, expected, result, json.load(file))
    else:
        heights = compare_ward(pair, False)
        short = min(result["graph"][m][k]["q_best"] - expected["graph"][m][k]["q_best"]
                    for m in ("emb", "spec", "at", "mix") for k in ("louvain_m1", "louvain_m2") if k in expected["graph"][m])
        assert short >= -0.005, short
        for m in ("emb", "spec", "at", "mix"):
            want, got = expected["graph"][m], result["graph"][m]
            assert abs(want["mode_m1"] - got["mode_m1"]) <= want["bin_width_m1"], m
        with open(os.path.join(case, "expected", "p100.json")) as file:  # those that no embedding of ours is in
            short = min(short, compare_graphs(pair, expected, result, json.load(file), ("spec", "at")))
    compare_regions(pair, expected, result, "truth")
    return "embeddings within %.2g, atomic percents within %.2g, Ward heights within %.2g, modularity %+.2g" % (
        worst, percent, heights, short)


def a_tiny_is_golden():
    return compare_case(TINY, True)


def compare_squeezenet(case):
    """Few-shot, graphs and communities of the real network's embeddings; how far a modularity falls short."""
    folder = os.path.join(case, "expected_squeezenet")
    pair = Pair(case, "expected_squeezenet", analyze("--case", case, "--emb", os.path.join(folder, "emb.npy")))
    with open(os.path.join(folder, "expected.json")) as file:
        expected = json.load(file)
    with open(os.path.join(folder, "p100.json")) as file:
        p100 = json.load(file)
    with open(os.path.join(pair.folders[1], "result.json")) as file:
        result = json.load(file)
    compare_fewshot(pair, "emb", True)
    compare_ensembles(pair, case)
    compare_ward(pair, True, [name for name in ("emb", "at", "vote") if pair.has("ward_" + name)])
    return "%s modularity %+.2g" % (os.path.basename(case), compare_graphs(pair, expected, result, p100, ("emb", "mix")))


def the_squeezenet_embeddings_of_a_tiny_get_their_golden_labels_and_graphs():
    return compare_squeezenet(TINY)


def the_squeezenet_embeddings_of_the_others_do():
    cases = [shared("golden", name) for name in ("b_pristine01", "c_defective0", "d_defective01", "e_size64_tv",
                                                 "f_gmp_coarse")]
    told = [compare_squeezenet(c) for c in cases if os.path.exists(os.path.join(c, "expected_squeezenet", "emb.npy"))]
    assert told
    return "; ".join(told)


def neither_order_nor_threads_change_a_byte():
    first = analyze("--case", TINY, "--set", "engine.threads=1")
    for seed in range(10):
        other = analyze("--case", TINY, "--order", "random:%d" % seed, "--set", "engine.threads=%d" % (1 + seed % 2))
        names = sorted(os.listdir(first))
        assert names == sorted(os.listdir(other))
        _, differ, missing = filecmp.cmpfiles(first, other, [n for n in names if n != "timing.json"], shallow=False)
        assert not differ and not missing, (seed, differ, missing)


def factors_from_a_file_are_those_given_by_hand_to_the_byte():
    by_hand = ("--set", "eds.k_factors=Fe_Ka=1.35,O_Ka=2.1,Sr_La=1.7,Ti_Ka=1.2345678901234567",
               "--set", "eds.k_basis=atomic")
    said = {"k_basis": "atomic", "k_factors": {"Fe_Ka": 1.35, "O_Ka": 2.1, "Sr_La": 1.7, "Ti_Ka": 1.2345678901234567}}
    path = os.path.join(tempfile.mkdtemp(prefix="fly.golden."), "k.json")
    with open(path, "w") as file:
        json.dump(said, file)
    given = analyze("--case", TINY, *by_hand)
    read = analyze("--case", TINY, "--set", "eds.k_factor_file=" + path)
    names = sorted(os.listdir(given))
    assert names == sorted(os.listdir(read)) and "at_fit.npy" in names, names
    _, differ, missing = filecmp.cmpfiles(given, read, [n for n in names if n != "timing.json"], shallow=False)
    assert not differ and not missing, (differ, missing)
    own, table = np.load(os.path.join(given, "at_fit.npy")), np.load(os.path.join(TINY, "expected", "at_fit.npy"))
    assert np.nanmax(np.abs(own - table)) > 1, "the factors changed nothing"


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


run(a_tiny_is_golden, the_squeezenet_embeddings_of_a_tiny_get_their_golden_labels_and_graphs,
    the_squeezenet_embeddings_of_the_others_do,
    neither_order_nor_threads_change_a_byte, factors_from_a_file_are_those_given_by_hand_to_the_byte,
    the_small_cases_are_golden,
    the_four_samples_of_table_ii_are_golden, the_real_squeezenet_gives_its_golden_embeddings, timeout_s=300)
