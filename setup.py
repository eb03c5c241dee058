from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    for line in (HERE / "nr3d" / "version.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("nr3d/version.py holds no __version__")


TEST = [
    "build==1.6.1",
    "mypy==2.4.1",
    "pytest==9.2.0",
    "pytest-xdist==3.8.0",
    "ruff==0.17.6",
]

# To draw the plot of an ablation, and to read the weights of a baseline.
BENCHMARKS = ["matplotlib>=3.8", "onnx>=1.16"]

setup(
    name="nr3d",
    version=version(),
    description="Not 3D Re-ID for torchreid: video person re-identification, trained and tested",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["nr3d", "nr3d.*"]),
    package_data={
        "nr3d": ["py.typed"],
        "nr3d.config": ["*.yaml"],
        "nr3d.weights": ["*.yaml"],
        "nr3d.zoo": ["*.yaml"],
    },
    entry_points={"console_scripts": ["nr3d = nr3d.cli:main"]},
    install_requires=[
        "filelock>=3.12",
        "gdown>=6.3",
        "numpy>=1.24",
        "pillow>=10.1",
        "platformdirs>=3.0",
        "requests>=2.31",
        "safetensors>=0.4.3",
        "scipy>=1.10",
        "torch>=2.4",
        "torchvision>=0.19",
        "torchreid>=0.2.5",
        "tqdm>=4.60",
        "urllib3>=1.26",
        "yacs>=0.1.8",
        # torchreid imports these, and gdown, and declares none of them.
        "h5py>=3.8",
        "opencv-python-headless>=4.8",
        "six>=1.16",
        "tensorboard>=2.12",
    ],
    extras_require={"test": TEST, "benchmarks": BENCHMARKS, "all": [*TEST, *BENCHMARKS]},
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
