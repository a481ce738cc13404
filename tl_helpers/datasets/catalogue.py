"""The real data sets: official archives, published checksums, provenance."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from tl_helpers.datasets import archives
from tl_helpers.datasets.image_set import Provenance


@dataclass(frozen=True)
class Archive:
    """One official file.

    Attributes:
        url: its address.
        checksum: sha256, or "md5:...", or None where none is published.
        published_in: whose sources list the checksum.
    """

    url: str
    checksum: str | None = None
    published_in: str = "nowhere; the first download is recorded"

    @property
    def file_name(self):
        """The last part of the address."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class RealSet:
    """What is known of a data set without touching disk or network.

    Attributes:
        provenance: origin, licence, citation and size.
        parts: the first is the default of `load`; "all" where no split is official.
        size_px: height and width at which images are decoded by default; 0 where
            they are in memory and keep their own.
        num_classes: how many there are, in every part; 0 for a set without classes.
        archives: official files; empty where they must be fetched by hand, or where
            the set is made from others.
        lay_out: function (archives, target) that makes the mirror layout.
        needs: names of the sets it is made from.
        entry: name of its file or folder in a mirror, where it is not the set's.
    """

    provenance: Provenance
    parts: tuple
    size_px: int = 128
    num_classes: int = 0
    archives: tuple = ()
    lay_out: Callable | None = None
    needs: tuple = ()
    entry: str = ""


REAL = {
    "mnist": RealSet(
        Provenance(
            "mnist",
            "yann.lecun.com/exdb/mnist, as packed by Keras",
            "CC BY-SA 3.0",
            "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to "
            "document recognition, Proc. IEEE 1998",
            "60,000 + 10,000 digits, 28x28 grey, 11 MB",
        ),
        parts=("train", "test"),
        size_px=28,
        num_classes=10,
        archives=(
            Archive(
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
                "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                "keras/src/datasets/mnist.py",
            ),
        ),
        lay_out=archives.lay_out_one_file,
        entry="mnist.npz",
    ),
    "mnist_m": RealSet(
        Provenance(
            "mnist_m",
            "made here from mnist and bsds500 by the published recipe",
            "MNIST: CC BY-SA 3.0; BSDS500: non-commercial research and education",
            "Ganin et al.: Domain-adversarial training of neural networks, JMLR 2016",
            "60,000 + 10,000 digits, 28x28 colour, made in memory",
        ),
        parts=("train", "test"),
        size_px=28,
        num_classes=10,
        needs=("mnist", "bsds500"),
    ),
    "svhn": RealSet(
        Provenance(
            "svhn",
            "http://ufldl.stanford.edu/housenumbers",
            "non-commercial use only",
            "Netzer, Wang, Coates, Bissacco, Wu, Ng: Reading digits in natural images "
            "with unsupervised feature learning, NIPS workshop 2011",
            "73,257 + 26,032 digits cut from photographs of house numbers, 32x32, "
            "246 MB",
        ),
        parts=("train", "test"),
        size_px=32,
        num_classes=10,
        archives=(
            Archive(
                "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
                "tensorflow_datasets url_checksums/svhn_cropped.txt",
            ),
            Archive(
                "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
                "tensorflow_datasets url_checksums/svhn_cropped.txt",
            ),
        ),
        lay_out=archives.lay_out_svhn,
    ),
    "cifar10": RealSet(
        Provenance(
            "cifar10",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            "none stated; used for research and teaching",
            "Krizhevsky: Learning multiple layers of features from tiny images, 2009",
            "50,000 + 10,000 photographs, 32x32, 10 classes, 170 MB",
        ),
        parts=("train", "test"),
        size_px=32,
        num_classes=10,
        archives=(
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                "tensorflow_datasets url_checksums/cifar10.txt",
            ),
        ),
        lay_out=archives.lay_out_cifar10,
    ),
    "pacs": RealSet(
        Provenance(
            "pacs",
            "https://dali-dl.github.io/project_iccv2017.html",
            "none stated; used for research and teaching",
            "Li, Yang, Song, Hospedales: Deeper, broader and artier domain "
            "generalization, ICCV 2017",
            "9,991 images, 7 classes, 4 domains, 180 MB",
        ),
        parts=("photo", "art_painting", "cartoon", "sketch"),
        num_classes=7,
    ),
    "tiny_imagenet": RealSet(
        Provenance(
            "tiny_imagenet",
            "http://cs231n.stanford.edu (class project of CS231n)",
            "ImageNet's terms: non-commercial research and education",
            "Le, Yang: Tiny ImageNet visual recognition challenge, 2015; "
            "Deng et al.: ImageNet, CVPR 2009",
            "100,000 + 10,000 photographs, 64x64, 200 classes, 248 MB",
        ),
        parts=("train", "val"),
        size_px=64,
        num_classes=200,
        archives=(
            Archive(
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                "md5:90528d7ca1a48142e341f4ef8d21d0de",
                "Avalanche, benchmarks/datasets/tiny_imagenet",
            ),
        ),
        lay_out=archives.lay_out_tiny_imagenet,
    ),
    "flowers": RealSet(
        Provenance(
            "flowers",
            "https://www.tensorflow.org/datasets/catalog/tf_flowers",
            "CC BY 2.0; photographers in LICENSE.txt",
            "The TensorFlow Team: Flowers, 2019",
            "3,670 photographs, 5 classes, 229 MB",
        ),
        parts=("all",),
        num_classes=5,
        archives=(
            Archive(
                "https://storage.googleapis.com/download.tensorflow.org/"
                "example_images/flower_photos.tgz",
                "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                "tensorflow_datasets url_checksums/tf_flowers.txt",
            ),
        ),
        lay_out=archives.lay_out_flowers,
    ),
    "cats_and_dogs": RealSet(
        Provenance(
            "cats_and_dogs",
            "https://www.microsoft.com/en-us/download/details.aspx?id=54765",
            "Microsoft's terms on the download page",
            "Elson, Douceur, Howell, Saul: Asirra, ACM CCS 2007",
            "about 25,000 photographs, 2 classes, 825 MB; files that cannot be "
            "decoded are left out and named in skipped.txt",
        ),
        parts=("all",),
        num_classes=2,
        archives=(
            Archive(
                "https://download.microsoft.com/download/3/E/1/"
                "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip"
            ),
        ),
        lay_out=archives.lay_out_cats_and_dogs,
    ),
    "lfw": RealSet(
        Provenance(
            "lfw",
            "http://vis-www.cs.umass.edu/lfw, deep-funneled",
            "research; its people are identifiable and were not asked: show no face, "
            "and build nothing that decides about people",
            "Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild, technical "
            "report 07-49, University of Massachusetts, 2007; Huang, Mattar, Lee, "
            "Learned-Miller: Learning to align from scratch, NIPS 2012",
            "13,233 photographs of 5,749 people, 250x250, 111 MB",
        ),
        parts=("all",),
        size_px=64,
        num_classes=5749,
        archives=(
            Archive(
                "http://vis-www.cs.umass.edu/lfw/lfw-deepfunneled.tgz",
                "md5:68331da3eb755a505a502b5aacb3c201",
                "torchvision, torchvision/datasets/lfw.py",
            ),
            Archive(
                "http://vis-www.cs.umass.edu/lfw/pairs.txt",
                "md5:9f1ba174e4e1c508ff7cdf10ac338a7d",
                "torchvision, torchvision/datasets/lfw.py",
            ),
        ),
        lay_out=archives.lay_out_lfw,
    ),
    "stanford_dogs": RealSet(
        Provenance(
            "stanford_dogs",
            "http://vision.stanford.edu/aditya86/ImageNetDogs",
            "ImageNet's terms: non-commercial research and education",
            "Khosla, Jayadevaprakash, Yao, Li: Novel dataset for fine-grained image "
            "categorization, FGVC workshop, CVPR 2011",
            "12,000 + 8,580 photographs, 120 breeds, 794 MB",
        ),
        parts=("train", "test"),
        num_classes=120,
        archives=(
            Archive(
                "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
                "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
                "tensorflow_datasets url_checksums/stanford_dogs.txt",
            ),
            Archive(
                "http://vision.stanford.edu/aditya86/ImageNetDogs/lists.tar",
                "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
                "tensorflow_datasets url_checksums/stanford_dogs.txt",
            ),
        ),
        lay_out=archives.lay_out_stanford_dogs,
    ),
    "oxford_pets": RealSet(
        Provenance(
            "oxford_pets",
            "https://www.robots.ox.ac.uk/~vgg/data/pets",
            "CC BY-SA 4.0",
            "Parkhi, Vedaldi, Zisserman, Jawahar: Cats and dogs, CVPR 2012",
            "3,680 + 3,669 photographs with masks, 37 breeds, 811 MB",
        ),
        parts=("train", "test"),
        num_classes=37,
        archives=(
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                "tensorflow_datasets url_checksums/oxford_iiit_pet.txt",
            ),
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                "tensorflow_datasets url_checksums/oxford_iiit_pet.txt",
            ),
        ),
        lay_out=archives.lay_out_oxford_pets,
    ),
    "magnetic_tile": RealSet(
        Provenance(
            "magnetic_tile",
            "https://github.com/abin24/Magnetic-tile-defect-datasets.",
            "none stated; its authors welcome use and ask to be cited",
            "Huang, Qiu, Yuan: Surface defect saliency of magnetic tile, The Visual "
            "Computer 2020",
            "1,344 grey photographs with masks, 5 kinds of defects and sound tiles",
        ),
        parts=("all",),
        size_px=160,
        num_classes=6,
        archives=(
            Archive(
                "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/"
                "refs/heads/master.zip"
            ),
        ),
        lay_out=archives.lay_out_magnetic_tile,
    ),
    "neu_det": RealSet(
        Provenance(
            "neu_det",
            "http://faculty.neu.edu.cn/songkechen (NEU surface defect database)",
            "research use",
            "He, Song, Meng, Yan: An end-to-end steel surface defect detection "
            "approach via fusing multiple hierarchical features, IEEE Trans. "
            "Instrumentation and Measurement 2020",
            "1,800 grey photographs of steel, 200x200, 6 kinds of defects with boxes",
        ),
        parts=("train", "test"),
        size_px=160,
        num_classes=6,
    ),
    "lung_nodules": RealSet(
        Provenance(
            "lung_nodules",
            "134 CT cubes with masks and radiologists' ratings that came with "
            "https://github.com/franciscapessanha/Pulmonary-nodules-analysis, cut into "
            "planes, slices and patches",
            "not stated there; they look like LIDC-IDRI, which is CC BY 3.0",
            "Armato et al.: The Lung Image Database Consortium (LIDC) and Image "
            "Database Resource Initiative (IDRI), Medical Physics 2011; Pessanha, "
            "Barros, Borges, Moura: Segmentation and texture analysis of pulmonary "
            "nodules",
            "134 nodules of as many patients, 51x51 px, 2.7 MB",
        ),
        parts=("nodules", "slices", "patches"),
        size_px=0,
        num_classes=2,
        entry="lung_nodules.npz",
    ),
    "pneumoniamnist": RealSet(
        Provenance(
            "pneumoniamnist",
            "https://medmnist.com",
            "CC BY 4.0",
            "Kermany et al.: Identifying medical diagnoses and treatable diseases by "
            "image-based deep learning, Cell 2018; Yang et al.: MedMNIST v2, "
            "Scientific Data 2023 (arXiv:2110.14795)",
            "4,708 + 524 + 624 chest X-rays of children, 28x28 grey, 4 MB",
        ),
        parts=("train", "val", "test"),
        size_px=0,
        num_classes=2,
        archives=(
            Archive(
                "https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",
                "md5:28209eda62fecd6e6a2d98b1501bb15f",
                "medmnist 3.0.2, medmnist/info.py",
            ),
        ),
        lay_out=archives.lay_out_one_file,
        entry="pneumoniamnist.npz",
    ),
    "nodulemnist3d": RealSet(
        Provenance(
            "nodulemnist3d",
            "https://medmnist.com",
            "CC BY 4.0",
            "Armato et al.: The Lung Image Database Consortium (LIDC) and Image "
            "Database Resource Initiative (IDRI), Medical Physics 2011; Yang et al.: "
            "MedMNIST v2, Scientific Data 2023 (arXiv:2110.14795)",
            "1,158 + 165 + 310 nodules in CT, 28x28x28 of 1 mm",
        ),
        parts=("train", "val", "test"),
        size_px=0,
        num_classes=2,
        archives=(
            Archive(
                "https://zenodo.org/records/10519652/files/nodulemnist3d.npz?download=1",
                "md5:8755a7e9e05a4d9ce80a24c3e7a256f3",
                "medmnist 3.0.2, medmnist/info.py",
            ),
        ),
        lay_out=archives.lay_out_one_file,
        entry="nodulemnist3d.npz",
    ),
}

# Sets that serve to make others, or hold answers; without classes, `load` lacks them.
HELPERS = {
    "bsds500": RealSet(
        Provenance(
            "bsds500",
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping",
            "non-commercial research and education",
            "Arbelaez, Maire, Fowlkes, Malik: Contour detection and hierarchical "
            "image segmentation, PAMI 2011",
            "200 training photographs, 481x321, 71 MB",
        ),
        parts=("train",),
        archives=(
            Archive(
                "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
                "BSR/BSR_bsds500.tgz"
            ),
        ),
        lay_out=archives.lay_out_bsds500,
    ),
    "lidc_predictions": RealSet(
        Provenance(
            "lidc_predictions",
            "https://github.com/nykemariotto/nodule-partition-leakage, its tables in "
            "one file",
            "MIT",
            "Mariotto, Ferreira, Almeida de Andrade, Carneiro Faria, Fattori Alves: "
            "Slice-level data partitioning inflates pulmonary nodule classification "
            "performance: a controlled three-arm study, manuscript, 2026",
            "answers of 3 networks about 11,026 slices of LIDC-IDRI, 1 MB",
        ),
        parts=("all",),
        entry="lidc_predictions.npz",
    ),
}
