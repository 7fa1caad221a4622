"""The folders of the public sets as they are unpacked, each made up in its shape; wrong levels; names."""

import unicodedata

import pytest

from synthmed_tf.data.sources import find_pairs
from synthmed_tf.errors import SynthMedError


def rows(source):
    """{name: (patient, photograph, mask, fov)}, the files relative to the root."""

    def short(path):
        return None if path is None else path.relative_to(source.root).as_posix()

    return {p.name: (p.patient, short(p.photograph), short(p.mask), short(p.fov)) for p in source.pairs}


RITE = [
    f"{part}/{kind}/{number}_{part}.{end}"
    for part, number in (("training", "21"), ("test", "01"))
    for kind, end in (("images", "tif"), ("vessel", "png"), ("av", "png"))
]
AVRDB = ["IM000001.JPG", "IM000001--vessels.jpg", "IM000001--artery.jpg", "IM000001--veins.jpg", "IM000001--both.jpg"]
ARIA = [
    "aria_a_markups/aria_a_12_15.tif",
    "aria_a_markup_vessel/aria_a_12_15_BDP.tif",
    "aria_a_markup_vessel/aria_a_12_15_BSS.tif",
    "aria_a_markupdiscfovea/aria_a_12_15_dfs.tif",
    "aria_c_markups/aria_c_markups/aria_c_ 3_4.tif",
    "aria_c_markup_vessel/aria_c_markup_vessel/aria_c_3_4_BDP.tif",
    "aria_d_markups/(0001)aria_d_26.tif",
]

SETS = {
    "rite": (
        RITE,
        {
            "21_training": ("21", "training/images/21_training.tif", "training/vessel/21_training.png", None),
            "01_test": ("01", "test/images/01_test.tif", "test/vessel/01_test.png", None),
        },
    ),
    "fives": (
        [f"{part}/{kind}/1_A.png" for part in ("train", "test") for kind in ("Original", "Ground truth")],
        {
            "train_1_A": ("train_1_A", "train/Original/1_A.png", "train/Ground truth/1_A.png", None),
            "test_1_A": ("test_1_A", "test/Original/1_A.png", "test/Ground truth/1_A.png", None),
        },
    ),
    "les_av": (
        ["images/276.png", "vessel-segmentations/276.png", "arteries-and-veins/276.png", "masks/276_mask.gif"],
        {"276": ("276", "images/276.png", "vessel-segmentations/276.png", "masks/276_mask.gif")},
    ),
    "avrdb": (
        [f"IM000001/{name}" for name in AVRDB] + ["IM000004/IM000004.JPG", "IM000004/IM000004.ai"],
        {
            "IM000001": ("IM000001", "IM000001/IM000001.JPG", "IM000001/IM000001--vessels.jpg", None),
            "IM000004": ("IM000004", "IM000004/IM000004.JPG", None, None),
        },
    ),
    "dr_hagis": (
        ["Fundus_Images/1.jpg", "Manual_Segmentations/1_manual_orig.png", "Mask_images/1_mask_orig.png"],
        {"1": ("1", "Fundus_Images/1.jpg", "Manual_Segmentations/1_manual_orig.png", "Mask_images/1_mask_orig.png")},
    ),
    "aria": (
        ARIA,
        {
            "aria_a_12_15": ("aria_a_12_15", ARIA[0], ARIA[1], None),
            "aria_c_ 3_4": ("aria_c_ 3_4", ARIA[4], ARIA[5], None),
            "(0001)aria_d_26": ("aria_d_26", ARIA[6], None, None),
        },
    ),
    "iostar": (
        ["image/STAR 01_OSC.jpg", "GT/STAR 01_OSC_GT.tif", "mask/STAR 01_OSC_Mask.tif", "AV_GT/STAR 01_OSC_AV.tif"],
        {"STAR 01_OSC": ("STAR 01", "image/STAR 01_OSC.jpg", "GT/STAR 01_OSC_GT.tif", "mask/STAR 01_OSC_Mask.tif")},
    ),
    "idrid": (
        [
            "1. Original Images/a. Training Set/IDRiD_01.jpg",
            "1. Original Images/b. Testing Set/IDRiD_55.jpg",
            "2. All Segmentation Groundtruths/a. Training Set/1. Microaneurysms/IDRiD_01_MA.tif",
        ],
        {
            "IDRiD_01": ("IDRiD_01", "1. Original Images/a. Training Set/IDRiD_01.jpg", None, None),
            "IDRiD_55": ("IDRiD_55", "1. Original Images/b. Testing Set/IDRiD_55.jpg", None, None),
        },
    ),
    "refuge": (
        [
            "Training400/Glaucoma/g0001.jpg",
            "Training400/Non-Glaucoma/n0001.jpg",
            "Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001.bmp",
            "REFUGE-Validation400/V0001.jpg",
            "REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp",
        ],
        {
            "g0001": ("g0001", "Training400/Glaucoma/g0001.jpg", None, None),
            "n0001": ("n0001", "Training400/Non-Glaucoma/n0001.jpg", None, None),
            "V0001": ("V0001", "REFUGE-Validation400/V0001.jpg", None, None),
        },
    ),
    "hrf": (
        ["healthy/01_h.jpg", "healthy_manualsegm/01_h.tif", "healthy_fovmask/01_h_mask.tif"],
        {"01_h": ("01_h", "healthy/01_h.jpg", "healthy_manualsegm/01_h.tif", "healthy_fovmask/01_h_mask.tif")},
    ),
    "stare": (
        ["im0001.ppm", "im0001.ah.ppm", "im0001.vk.ppm"],
        {"im0001": ("0001", "im0001.ppm", "im0001.ah.ppm", None)},
    ),
}


@pytest.mark.parametrize("layout", SETS)
def test_a_set_is_taken_as_it_is_unpacked(folder, layout):
    files, expected = SETS[layout]
    source = find_pairs(folder(*files))
    assert source.layout == layout and rows(source) == expected
    assert {pair.dark_vessels for pair in source.pairs} == {layout == "avrdb"}


@pytest.mark.parametrize("layout", SETS)
def test_the_folder_above_is_answered_with_the_right_one(folder, layout):
    files, _ = SETS[layout]
    root = folder(*(f"unpacked/{layout} set/{name}" for name in files))
    with pytest.raises(SynthMedError, match=rf"; give \S+data/unpacked/{layout} set\."):
        find_pairs(root)


def test_parts_of_sets_with_two_levels(folder):
    root = folder(*RITE)
    assert list(rows(find_pairs(root / "test"))) == ["01_test"] and find_pairs(root / "test").layout == "rite"


def test_train_and_test_of_idrid_have_files_of_one_name(folder):
    parts = [f"1. Original Images/{part}/IDRiD_001.jpg" for part in ("a. Training Set", "b. Testing Set")]
    assert [pair.name for pair in find_pairs(folder(*parts)).pairs] == ["test_IDRiD_001", "train_IDRiD_001"]


def test_masks_alone_are_answered_with_the_folder_above(folder):
    root = folder("training/images/21_training.tif", "training/1st_manual/21_manual1.gif")
    with pytest.raises(SynthMedError, match=r"is named like a mask among photographs; give \S+data(/training)?\."):
        find_pairs(root / "training" / "1st_manual")


def test_a_name_composed_and_decomposed_is_one_pair(folder):
    names = [unicodedata.normalize(form, "Göttingen é") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    source = find_pairs(folder(f"images/{names[0]}.png", f"masks/{names[1]}.PNG", f"fov/{names[1]}_fov.png"))
    (pair,) = source.pairs
    assert pair.name == names[0] and pair.mask.name == f"{names[1]}.PNG" and pair.fov is not None


@pytest.mark.parametrize(
    ("photograph", "mask"),
    [
        ("p0.png", "p0_mask.gif"),
        ("p0.JPG", "p0-Mask.PNG"),
        ("p0.png", "p0_manual1.gif"),
        ("p0.png", "p0_1stHO.png"),
        ("p0.png", "p0_vessels.png"),
        ("p0.png", "p0_gt.png"),
        ("p0.png", "p0_segmentation.tif"),
        ("p0_image.png", "p0_mask.png"),
        ("p0.png", "p0 mask.png"),
    ],
)
def test_usual_endings_of_masks_in_the_plain_layout(folder, photograph, mask):
    (pair,) = find_pairs(folder(f"images/{photograph}", f"masks/{mask}")).pairs
    assert (pair.photograph.name, pair.mask.name) == (photograph, mask)


def test_a_photograph_may_itself_end_like_a_mask(folder):
    source = find_pairs(folder("images/a.png", "images/a_gt.png", "masks/a.png", "masks/a_gt.png"))
    assert [(pair.name, pair.mask.name) for pair in source.pairs] == [("a", "a.png"), ("a_gt", "a_gt.png")]


def test_two_masks_of_one_photograph_are_refused(folder):
    with pytest.raises(SynthMedError, match=r"masks/a_mask\.png has the same name as \S+masks/a\.png; remove one"):
        find_pairs(folder("images/a.png", "masks/a.png", "masks/a_mask.png"))


def test_upper_and_lower_case_of_folders(folder):
    (pair,) = find_pairs(folder("Images/a.png", "MASKS/a.png")).pairs
    assert pair.mask.name == "a.png"


def test_labels_go_with_every_pair(folder):
    (pair,) = find_pairs(folder("images/a.png", "masks/a.png"), vessel_labels="1,red").pairs
    assert pair.labels == (1, (255, 0, 0))
