"""Folder layouts, patients and splits, on small made-up folders."""

import pytest

from synthmed_tf.data.sources import Pair, find_pairs, parse_patients, split_by_patient
from synthmed_tf.errors import SynthMedError


def listed(source):
    """(name, patient, photograph, mask, fov), the files relative to the root."""

    def short(path):
        return None if path is None else path.relative_to(source.root).as_posix()

    return [(p.name, p.patient, short(p.photograph), short(p.mask), short(p.fov)) for p in source.pairs]


def drive_part(part, number, masks=True):
    names = [f"{part}/images/{number}_{part}.tif", f"{part}/mask/{number}_{part}_mask.gif"]
    return [*names, f"{part}/1st_manual/{number}_manual1.gif"] if masks else names


def test_drive(folder):
    root = folder(*drive_part("training", "21"), *drive_part("test", "01"), "test/2nd_manual/01_manual2.gif")
    source = find_pairs(root)
    assert source.layout == "drive" and source.root == root
    assert listed(source) == [
        ("01_test", "01", "test/images/01_test.tif", "test/1st_manual/01_manual1.gif", "test/mask/01_test_mask.gif"),
        (
            "21_training",
            "21",
            "training/images/21_training.tif",
            "training/1st_manual/21_manual1.gif",
            "training/mask/21_training_mask.gif",
        ),
    ]


def test_drive_without_test_masks_is_its_training_part(folder):
    source = find_pairs(folder(*drive_part("training", "21"), *drive_part("test", "01", masks=False)))
    assert [pair.name for pair in source.pairs] == ["21_training"]


def test_one_part_of_drive(folder):
    root = folder(*drive_part("training", "21"), *drive_part("test", "01", masks=False))
    assert [(row[1], row[3]) for row in listed(find_pairs(root / "training"))] == [("21", "1st_manual/21_manual1.gif")]
    test = find_pairs(root / "test")
    assert (test.layout, listed(test)) == (
        "drive",
        [("01_test", "01", "images/01_test.tif", None, "mask/01_test_mask.gif")],
    )


@pytest.mark.parametrize("extension", ["ppm", "ppm.gz"])
@pytest.mark.parametrize("observer", ["ah", "vk"])
def test_stare(folder, extension, observer):
    mask = f"labels-{observer}/im0001.{observer}.{extension}"
    source = find_pairs(folder(f"stare-images/im0001.{extension}", mask))
    assert source.layout == "stare"
    assert listed(source) == [("im0001", "0001", f"stare-images/im0001.{extension}", mask, None)]


def test_stare_prefers_the_first_observer(folder):
    source = find_pairs(folder("stare-images/im0001.ppm", "labels-ah/im0001.ah.ppm", "labels-vk/im0001.vk.ppm"))
    assert source.pairs[0].mask.name == "im0001.ah.ppm"


def test_chase_db1_flat(folder):
    root = folder(*(f"Image_01{side}{end}" for side in "LR" for end in (".jpg", "_1stHO.png", "_2ndHO.png")))
    source = find_pairs(root)
    assert source.layout == "chase_db1" and source.patients == ("01",)
    assert listed(source) == [
        ("Image_01L", "01", "Image_01L.jpg", "Image_01L_1stHO.png", None),
        ("Image_01R", "01", "Image_01R.jpg", "Image_01R_1stHO.png", None),
    ]


def test_chase_db1_in_folders(folder):
    root = folder(
        "images/Image_02L.jpg",
        "labels1/Image_02L_1stHO.png",
        "labels2/Image_02L_2ndHO.png",
        "fov-masks-unofficial/mask_02L.png",
    )
    source = find_pairs(root)
    assert source.layout == "chase_db1"
    assert listed(source) == [
        (
            "Image_02L",
            "02",
            "images/Image_02L.jpg",
            "labels1/Image_02L_1stHO.png",
            "fov-masks-unofficial/mask_02L.png",
        )
    ]


def test_chase_db1_with_the_second_observer_alone(folder):
    assert find_pairs(folder("Image_01L.jpg", "Image_01L_2ndHO.png")).pairs[0].mask.name == "Image_01L_2ndHO.png"


def test_hrf_may_lack_masks(folder):
    source = find_pairs(
        folder("images/01_h.jpg", "images/11_h.JPG", "manual1/01_h.tif", "mask/01_h_mask.tif", "mask/11_h_mask.tif")
    )
    assert source.layout == "hrf"
    assert listed(source) == [
        ("01_h", "01_h", "images/01_h.jpg", "manual1/01_h.tif", "mask/01_h_mask.tif"),
        ("11_h", "11_h", "images/11_h.JPG", None, "mask/11_h_mask.tif"),
    ]


def test_messidor_in_nested_folders(folder):
    source = find_pairs(folder("Base11/20051019_1.tif", "Base12/b/20051020_2.png", "Base11/Annotation_Base11.xls"))
    assert source.layout == "messidor"
    assert listed(source) == [
        ("20051019_1", "20051019_1", "Base11/20051019_1.tif", None, None),
        ("20051020_2", "20051020_2", "Base12/b/20051020_2.png", None, None),
    ]


def test_plain(folder):
    source = find_pairs(folder("images/b.png", "images/a.jpg", "masks/a.png", "masks/b.gif", "fov/b.png"))
    assert source.layout == "plain"
    assert listed(source) == [
        ("a", "a", "images/a.jpg", "masks/a.png", None),
        ("b", "b", "images/b.png", "masks/b.gif", "fov/b.png"),
    ]


def test_plain_without_masks_is_photographs_alone(folder):
    assert listed(find_pairs(folder("images/a.jpg", "fov/a.png"))) == [("a", "a", "images/a.jpg", None, "fov/a.png")]


def test_notes_and_hidden_files_are_passed_over(folder):
    root = folder(
        "images/a.jpg", "images/.b.jpg", "images/Thumbs.db", "images/read me.txt", "masks/a.png", ".cache/x.png",
        "__MACOSX/y.png", "notes.txt",
    )  # fmt: skip
    assert [pair.name for pair in find_pairs(root).pairs] == ["a"]


@pytest.mark.parametrize(("expression", "patient"), [(r"^(\w+)_", "p07"), (r"p\d+", "p07"), (r"(?:_)(\w)$", "L")])
def test_patient_expression(folder, expression, patient):
    assert find_pairs(folder("images/p07_L.png"), expression).patients == (patient,)


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("(p", r"The patient expression '\(p' is not valid .*; correct it"),
        (r"q(\d+)", r"The patient expression 'q\(\\\\d\+\)' finds no patient in 'p07_L'; correct it"),
        ("(q)?p", "finds no patient in 'p07_L'"),
    ],
)
def test_patient_expressions_that_do_not_fit(folder, expression, sentence):
    with pytest.raises(SynthMedError, match=sentence):
        find_pairs(folder("images/p07_L.png"), expression)


def test_patients_are_in_natural_order(folder):
    assert find_pairs(folder("10.png", "9.png", "a2.png", "a10.png")).patients == ("9", "10", "a2", "a10")


def pairs_of(*patients):
    return [Pair(f"{patient}{side}", patient, None, None, None) for patient in patients for side in "LR"]


def test_split_by_names():
    train, held = split_by_patient(pairs_of("01", "02", "03"), ["03", "01"])
    assert [pair.name for pair in train] == ["02L", "02R"]
    assert [pair.name for pair in held] == ["01L", "01R", "03L", "03R"]


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.25, 2), (0.5, 4), (0.999, 7)])
def test_split_by_share_takes_that_many_patients_whole(share, count):
    pairs = pairs_of(*"abcdefgh")
    train, held = split_by_patient(pairs, share, seed=3)
    assert len(held) == 2 * count and len({pair.patient for pair in held}) == count
    assert sorted(train + held, key=pairs.index) == pairs
    assert not {pair.patient for pair in train} & {pair.patient for pair in held}


def test_split_depends_on_the_seed_and_not_on_the_order_of_pairs():
    def chosen(pairs, seed):
        return {pair.patient for pair in split_by_patient(pairs, 0.5, seed)[1]}

    pairs = pairs_of(*"abcdefgh")
    assert chosen(pairs, 0) == chosen(pairs[::-1], 0)
    assert len({frozenset(chosen(pairs, seed)) for seed in range(10)}) > 5


@pytest.mark.parametrize(
    ("holdout", "sentence"),
    [
        (["3"], "The patient '3' is not in the source; the nearest are 03"),
        ("03x", "The patient '03x' is not in the source; the nearest are 03"),
        ([], "No patient is held out; name at least one"),
        (["01", "02", "03"], "All 3 patients are held out; .*leave at least one"),
        (0, "The share to hold out is 0; give a number between 0 and 1"),
        (1.0, "The share to hold out is 1.0; give a number between 0 and 1"),
        (float("nan"), "The share to hold out is nan"),
    ],
)
def test_splits_that_cannot_be(holdout, sentence):
    with pytest.raises(SynthMedError, match=sentence):
        split_by_patient(pairs_of("01", "02", "03"), holdout)


@pytest.mark.parametrize("patients", [(), ("01",)])
def test_one_patient_cannot_be_split(patients):
    with pytest.raises(SynthMedError, match=f"at least two patients, but there is {len(patients)}; add"):
        split_by_patient(pairs_of(*patients), 0.5)


KNOWN = ("01", "02", "03", "10", "11", "a-b", "c")


@pytest.mark.parametrize(
    ("text", "patients"),
    [
        ("02", ("02",)),
        ("10, 01-03", ("01", "02", "03", "10")),
        ("03-10,03,", ("03", "10")),
        ("a-b", ("a-b",)),
        ("11-a-b", ("11", "a-b")),
        ("a-b-c", ("a-b", "c")),
        ("01 - 02", ("01", "02")),
        ("02-02", ("02",)),
    ],
)
def test_lists_of_patients(text, patients):
    assert parse_patients(text, KNOWN) == patients


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The list of patients '' is empty; name one"),
        (" , ", "is empty; name one"),
        ("04", "The patient '04' is not in the source; the nearest are 01, 02, 03"),
        ("01-1O", "The patient '1O' is not in the source; the nearest are 01, 10, 11"),
        ("10-01", "The range '10-01' runs backwards; write 01-10"),
        ("-01", "The patient '-01' is not in the source"),
    ],
)
def test_lists_that_cannot_be_read(text, sentence):
    with pytest.raises(SynthMedError, match=sentence):
        parse_patients(text, KNOWN)


def test_a_range_that_can_be_read_in_two_ways():
    with pytest.raises(SynthMedError, match="The range 'a-b-c' can be read in two ways; list its patients one by one"):
        parse_patients("a-b-c", ("a", "a-b", "b-c", "c"))
