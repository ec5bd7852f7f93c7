"""Where a setting comes from, which one wins, and what is said when it is wrong."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from claude_code_api import settings as room
from claude_code_api.engine.options import Seating
from claude_code_api.flow.options import DEFAULT_ALIASES, IgnoredParams, RatesIn, RemoteParts, UnknownModel
from claude_code_api.settings import ALSO_FROM, PREFIX, SettingsError, load, variables_of
from claude_code_api.telemetry import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is set: an empty directory, an empty home, none of our variables."""
    for name in [*os.environ]:
        if name.startswith(PREFIX) or name in ALSO_FROM.values():
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def origin(name: str, **given: Any) -> tuple[object, str]:
    listing = {setting.name: setting for setting in load(**given).listing}
    return listing[name].value, listing[name].origin


def test_without_anything_the_defaults_hold() -> None:
    settings = load()
    assert (settings.http.host, settings.http.port, settings.access.require_auth) == ("127.0.0.1", 8000, True)
    assert {setting.origin for setting in settings.listing} == {"default"}
    assert settings.flow.model_aliases == DEFAULT_ALIASES


def test_a_flag_wins_over_the_environment_over_env_over_toml_over_the_default(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert origin("port") == (8000, "default")
    (bare / "claude-code-api.toml").write_text("port = 1\n", encoding="utf-8")
    assert origin("port") == (1, "claude-code-api.toml")
    (bare / ".env").write_text("CLAUDE_CODE_API_PORT=2\n", encoding="utf-8")
    assert origin("port") == (2, ".env CLAUDE_CODE_API_PORT")
    monkeypatch.setenv("CLAUDE_CODE_API_PORT", "3")
    assert origin("port") == (3, "environment CLAUDE_CODE_API_PORT")
    assert origin("port", flags={"port": 4}) == (4, "flag")
    assert origin("port", flags={"port": None}) == (3, "environment CLAUDE_CODE_API_PORT"), "a flag that was not given"


@pytest.mark.parametrize("name", sorted(ALSO_FROM))
def test_names_that_people_have_set_already(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"port": "8123", "require_auth": "false"}.get(name, "/x")
    monkeypatch.setenv(ALSO_FROM[name], value)
    found, where = origin(name)
    assert where == f"environment {ALSO_FROM[name]}"
    assert found in (8123, False, "/x", Path("/x"))


def test_our_own_name_wins_over_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("CLAUDE_CODE_API_PORT", "2")
    assert load().http.port == 2
    monkeypatch.setenv("CLAUDE_CODE_API_PORT", "")
    assert load().http.port == 1, "an empty variable is one that somebody meant to unset"


def test_the_general_name_in_the_environment_wins_over_ours_in_env(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / ".env").write_text("CLAUDE_CODE_API_PORT=2\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "1")
    assert load().http.port == 1


def test_every_setting_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        bool: "false",
        int: "7",
        float: "7.5",
        str: "word",
        UnknownModel: "refuse",
        IgnoredParams: "refuse",
        RemoteParts: "forward",
        RatesIn: "database",
        LogLevel: "error",
        LogFormat: "json",
        Seating: "fresh",
        Path: "/place",
        tuple: "a, b",
        dict: '{"a": "b"}',
    }
    for setting in load().listing:
        kind = next((kind for kind in given if isinstance(setting.value, kind)), str)
        if setting.name == "claude_binary_path":
            kind = Path
        if setting.name in ("model_aliases", "model_capabilities"):
            kind = dict
        value = '{"claude-opus-9": {"prefill": true}}' if setting.name == "model_capabilities" else given[kind]
        monkeypatch.setenv(setting.variable, value)
    listing = load().listing
    assert all(setting.origin == f"environment {setting.variable}" for setting in listing)
    assert all(any(isinstance(setting.value, kind) for setting in listing) for kind in given)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CLAUDE_CODE_API_PROT", "Did you mean CLAUDE_CODE_API_PORT?"),
        ("CLAUDE_CODE_API_MAX_TURN", "Did you mean CLAUDE_CODE_API_MAX_TURNS?"),
        ("CLAUDE_CODE_API_XYZZY_QQQ_1", "settings list"),
    ],
)
def test_a_variable_that_nobody_knows(name: str, hint: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / ".env").write_text(f"{name}=1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"Unknown variable in .env: {name}") as in_file:
        load()
    assert hint in str(in_file.value) or "Did you mean" in str(in_file.value)
    monkeypatch.setenv(name, "secret-value")
    with pytest.raises(SettingsError, match=f"Unknown environment variable: {name}") as in_environment:
        load()
    assert "secret-value" not in str(in_environment.value)
    if "XYZZY" not in name:
        assert hint in str(in_environment.value)


def test_a_flag_and_a_line_that_nobody_knows(bare: Path) -> None:
    with pytest.raises(SettingsError, match=r"Unknown flag: prot\. Did you mean port\?"):
        load({"prot": 1})
    (bare / "claude-code-api.toml").write_text("[http]\nport = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"Unknown setting in claude-code-api\.toml: http"):
        load()


def test_the_clis_own_variables_are_none_of_ours(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    for name in ("CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "1")
    (bare / ".env").write_text("SOMEBODY_ELSES=1\nCLAUDE_CODE_USE_BEDROCK=1\n", encoding="utf-8")
    assert load().http.port == 8000


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CLAUDE_CODE_API_PORT", "many", ("port", "environment CLAUDE_CODE_API_PORT", "integer")),
        ("PORT", "65536", ("port", "environment PORT", "out of range")),
        ("CLAUDE_CODE_API_PORT", "-1", ("port", "out of range")),
        ("CLAUDE_CODE_API_PORT", "80.5", ("port", "integer")),
        ("CLAUDE_CODE_API_WAIT_S", "nan", ("wait_s", "out of range")),
        ("CLAUDE_CODE_API_WAIT_S", "-0.1", ("wait_s", "out of range")),
        ("CLAUDE_CODE_API_MAX_TURNS", "-5", ("max_turns", "out of range")),
        ("CLAUDE_CODE_API_MAX_TURNS", "0", ("max_turns", "out of range")),
        ("CLAUDE_CODE_API_HEARTBEAT_S", "0", ("heartbeat_s", "out of range")),
        ("REQUIRE_AUTH", "perhaps", ("require_auth", "environment REQUIRE_AUTH")),
        ("CLAUDE_CODE_API_UNKNOWN_MODEL", "guess", ("unknown_model", "'fallback' or 'refuse'")),
        ("CLAUDE_CODE_API_LOG_LEVEL", "loud", ("log_level", "'debug'")),
        ("CLAUDE_CODE_API_MODEL_ALIASES", "a=b", ("CLAUDE_CODE_API_MODEL_ALIASES", "JSON object")),
        ("CLAUDE_CODE_API_MODEL_ALIASES", "[1]", ("model_aliases",)),
        ("CLAUDE_CODE_API_MODEL_ALIASES", '{"a": 1}', ("model_aliases", "string")),
    ],
)
def test_a_value_that_is_wrong(
    variable: str, value: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refusal:
        load()
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,, ", ("a", "b")), (",", ())],
)
def test_a_list_by_commas(text: str, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_API_ALLOWED_HOSTS", text)
    assert load().http.allowed_hosts == found


def test_a_mapping_as_json_and_everything_in_toml(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_API_MODEL_ALIASES", '{"best": "opus"}')
    assert load().flow.model_aliases == {"best": "opus"}
    monkeypatch.delenv("CLAUDE_CODE_API_MODEL_ALIASES")
    file = bare / "other.toml"
    file.write_text(
        'allowed_hosts = ["a", "b"]\nmodel_aliases = {best = "opus"}\nrequire_auth = false\nwait_s = 5\n'
        'data_dir = "~/data"\nunknown_model = "refuse"\n',
        encoding="utf-8",
    )
    settings = load(config=file)
    assert settings.http.allowed_hosts == ("a", "b")
    assert settings.flow.model_aliases == {"best": "opus"}
    assert settings.access.require_auth is False
    assert settings.flow.wait_s == 5.0
    assert settings.storage.data_dir == Path.home() / "data"
    assert settings.flow.unknown_model is UnknownModel.REFUSE


@pytest.mark.parametrize("way", ["flag", "environment", "toml"])
def test_a_path_means_the_same_wherever_it_is_used(way: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "environment":
        monkeypatch.setenv("CLAUDE_CODE_API_DATA_DIR", "data")
    if way == "toml":
        (bare / "claude-code-api.toml").write_text('data_dir = "data"\n', encoding="utf-8")
    settings = load({"data_dir": Path("data")} if way == "flag" else None)
    assert settings.storage.data_dir == bare / "data"


def test_the_places_of_the_settings_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = Path.home() / ".config" / "claude-code-api"
    user.mkdir(parents=True)
    (user / "config.toml").write_text("port = 1\n", encoding="utf-8")
    assert origin("port") == (1, str(user / "config.toml"))
    (bare / "claude-code-api.toml").write_text("host = 'localhost'\n", encoding="utf-8")
    assert origin("port") == (8000, "default"), "only the first file that is there is read"
    chosen = bare / "chosen.toml"
    chosen.write_text("port = 2\n", encoding="utf-8")
    monkeypatch.setenv("CLAUDE_CODE_API_CONFIG", str(chosen))
    assert origin("port") == (2, str(chosen))
    flagged = bare / "flagged.toml"
    flagged.write_text("port = 3\n", encoding="utf-8")
    assert origin("port", config=flagged) == (3, str(flagged))


def test_a_settings_file_that_is_not_there_or_not_toml(bare: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no settings file .*nowhere\.toml"):
        load(config=bare / "nowhere.toml")
    broken = bare / "broken.toml"
    for content in (b"port = \n", b"\xff\xfe"):
        broken.write_bytes(content)
        with pytest.raises(SettingsError, match=r"broken\.toml cannot be read"):
            load(config=broken)


def test_an_env_file_that_is_no_text(bare: Path) -> None:
    (bare / ".env").write_bytes(b"\xff\xfe=1\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load()


def test_secrets_are_masked_and_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "CLAUDE_CODE_API_KEYS": "cca-one,cca-two",
        "ANTHROPIC_API_KEY": "sk-ant-three",
        "ANTHROPIC_AUTH_TOKEN": "four-secret",
        "CLAUDE_CODE_OAUTH_TOKEN": "five-secret",
        "CLAUDE_CODE_API_DATABASE_URL": "postgresql://me:sixth-secret@db/name",
        "CLAUDE_CODE_API_TLS_KEY_PASSWORD": "seventh-secret",
    }
    assert {setting.shown for setting in load().listing if setting.secret} == {""}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.access.keys == ("cca-one", "cca-two")
    masked = {setting.variable: setting.shown for setting in settings.listing if setting.secret}
    assert masked == dict.fromkeys(secrets, "********")
    groups = [getattr(settings, field.name) for field in dataclasses.fields(settings) if field.name != "listing"]
    shown = repr(groups) + "".join(setting.shown for setting in settings.listing)
    for word in ("cca-one", "cca-two", "three", "four", "five", "sixth"):
        assert word not in shown


def test_a_secret_of_the_wrong_kind_is_not_repeated(bare: Path) -> None:
    (bare / "claude-code-api.toml").write_text('keys = [["cca-secret"]]\n', encoding="utf-8")
    with pytest.raises(SettingsError) as refusal:
        load()
    assert "cca-secret" not in str(refusal.value)
    assert "keys" in str(refusal.value)


def test_values_are_shown_as_they_would_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_API_ALLOWED_HOSTS", "a,b")
    monkeypatch.setenv("CLAUDE_CODE_API_MODEL_ALIASES", '{"a": "b"}')
    shown = {setting.name: setting.shown for setting in load().listing}
    assert shown["allowed_hosts"] == "a, b"
    assert shown["model_aliases"] == '{"a": "b"}'
    assert shown["log_level"] == "info"
    assert shown["anthropic_base_url"] == ""


def test_every_setting_is_described_once_and_has_one_name() -> None:
    listing = load().listing
    fields = [field.name for section in room.SECTIONS for field in dataclasses.fields(section)]
    assert [setting.name for setting in listing] == fields
    assert len(set(fields)) == len(fields)
    assert all(setting.description.endswith(".") for setting in listing)
    assert len({variable for name in fields for variable in variables_of(name)}) >= len(fields)


def test_what_no_model_can_be_said_to_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_API_MODEL_CAPABILITIES", '{"claude-opus-9": {"temprature": "any"}}')
    with pytest.raises(SettingsError, match=r"model_capabilities .* is wrong: 'temprature' is no capability"):
        load()
