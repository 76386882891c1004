import pytest
import yaml

from cc100.pipeline.config import SECTIONS, configuration, document_settings, load_settings
from cc100.shards.errors import ConfigurationError
from cc100.transforms.settings import CorpusSettings


def test_defaults():
    assert load_settings(None, []) == CorpusSettings()


def test_overrides_win_over_the_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("language:\n  threshold: 0.7\n  languages: [fr, de]\nnear:\n  bands: 10\n")
    settings = load_settings(str(path), ["language.threshold=0.6", "near.mode=none", "exact.scope=per-crawl"])
    assert settings.language.threshold == 0.6
    assert settings.language.languages == ("de", "fr")
    assert settings.near.bands == 10
    assert settings.near.mode == "none"
    assert settings.exact.scope == "per-crawl"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("language.treshold=0.6", r"unknown setting language\.treshold; did you mean language\.threshold\?"),
        ("langage.threshold=0.6", r"unknown section 'langage'; did you mean language\?"),
        ("threshold=0.6", "expected section.key=value"),
        ("language.threshold", "expected section.key=value"),
        ("language.threshold=1.5", r"language\.threshold = 1\.5 is not allowed: it must be 0 to 1"),
        ("language.threshold=high", r"language\.threshold = 'high' is not allowed: it must be a float"),
        ("near.bands=2.5", r"near\.bands = 2\.5 is not allowed: it must be a int"),
        ("near.bands=true", r"near\.bands = True is not allowed"),
        ("language.languages=de", r"language\.languages = 'de' is not allowed: it must be a list"),
        ("exact.mode=drop", "keep-first or drop-all"),
        ("near.bands=[", "no YAML"),
    ],
)
def test_wrong_settings_are_refused_by_name(override, message):
    with pytest.raises(ConfigurationError, match=message):
        load_settings(None, [override])


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: No such file.*Name a YAML file"):
        load_settings(str(tmp_path / "nowhere.yaml"), [])
    (tmp_path / "b.yaml").write_text("a: [")
    with pytest.raises(ConfigurationError, match="is no YAML"):
        load_settings(str(tmp_path / "b.yaml"), [])
    (tmp_path / "c.yaml").write_text("- a")
    with pytest.raises(ConfigurationError, match="expected sections"):
        load_settings(str(tmp_path / "c.yaml"), [])


def test_every_preset_loads(repository):
    presets = sorted((repository / "configs").glob("*.yaml"))
    assert len(presets) >= 3
    for preset in presets:
        load_settings(str(preset), [])


def test_the_configuration_holds_neither_paths_nor_the_runner():
    settings = load_settings(None, ["runner.passes=3", "language.model=/x/lid.bin"])
    assert configuration(settings) == configuration(CorpusSettings())
    assert "/x/lid.bin" not in str(configuration(settings))


def test_the_documentation_is_current(repository):
    assert (repository / "docs" / "configuration.md").read_text(encoding="utf-8") == document_settings()


def test_every_setting_is_documented():
    text = document_settings()
    for section, kind in SECTIONS.items():
        for name in kind.__dataclass_fields__:
            assert f"`{section}.{name}`" in text


def test_documented_presets_hold_what_they_say(repository):
    laptop = yaml.safe_load((repository / "configs" / "laptop.yaml").read_text())
    assert load_settings(str(repository / "configs" / "laptop.yaml"), []) == CorpusSettings()
    assert laptop["near"] == {"threshold": 0.8, "bands": 20, "rows": 6}
