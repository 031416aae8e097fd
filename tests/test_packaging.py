"""Versions and metadata agree in pyproject.toml, tox.ini, the changelog and the code."""

from __future__ import annotations

import ast
import configparser
import itertools
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources

import pytest
import yaml

from tests.checkout import ROOT, list_files

# Python versions supported by Django: https://docs.djangoproject.com/en/6.1/faq/install/
MATRIX = {
    "5.2": ["3.11", "3.12", "3.13", "3.14"],
    "6.0": ["3.12", "3.13", "3.14"],
    "6.1": ["3.12", "3.13", "3.14"],
}
TOP_LEVEL = {
    ".ci",
    ".editorconfig",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    ".readthedocs.yaml",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benchmarks",
    "closient_auth",
    "docs",
    "example_project",
    "pyproject.toml",
    "scripts",
    "tests",
    "tox.ini",
    "uv.lock",
}


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def project(pyproject):
    return pyproject["project"]


@pytest.fixture(scope="module")
def tox():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini")
    return parser


@pytest.fixture(scope="module")
def shipped():
    return list_files() or pytest.skip("not a git checkout")


def classified(project, trove):
    """Return the versions in the classifiers, such as "3.11"."""
    pattern = re.compile(rf"{trove} :: (\d+\.\d+)")
    return [match[1] for match in map(pattern.fullmatch, project["classifiers"]) if match]


def test_installed_version_is_the_one_in_pyproject(project):
    assert metadata.version("closient-auth") == project["version"]


def test_changelog_begins_with_what_is_to_come_and_knows_the_version(project):
    changelog = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.+)$", changelog, re.MULTILINE)

    assert heads[0] == "Unreleased"
    assert re.search(rf"\b{re.escape(project['version'])}\b", changelog)


def test_classifiers_name_the_matrix(project):
    assert classified(project, "Framework :: Django") == list(MATRIX)
    assert classified(project, "Programming Language :: Python") == MATRIX["5.2"]
    assert project["requires-python"] == f">={MATRIX['5.2'][0]}"
    assert any(text.startswith(f"django>={next(iter(MATRIX))}.") for text in project["dependencies"])


def test_tox_tries_the_matrix(tox):
    wanted = {f"py{python}-django{django}".replace(".", "") for django in MATRIX for python in MATRIX[django]}

    assert {name for name in env_list(tox) if name.startswith("py")} == wanted


def env_list(tox):
    """Return tox's environments with ``{a, b}`` expanded."""
    for line in tox["tox"]["env_list"].split("\n"):
        parts = [part.split(",") for part in re.split(r"[{}]", line.strip())]
        yield from ("".join(name.strip() for name in names) for names in itertools.product(*parts) if any(names))


def test_each_django_has_its_group(pyproject):
    groups = pyproject["dependency-groups"]
    pins = {name: groups[name] for name in groups if name.startswith("django")}

    # Each group allows one minor version: django52 allows 5.2 and its patches, not 6.0.
    assert set(pins) == {f"django{version.replace('.', '')}" for version in MATRIX}
    for version in MATRIX:
        (pin,) = pins[f"django{version.replace('.', '')}"]
        major, minor = version.split(".")
        assert re.fullmatch(rf"django>={major}(\.{minor})?,<{major}\.{int(minor) + 1}", pin), pin


def test_linter_and_bootstrap_know_the_oldest_python(pyproject):
    major, minor = MATRIX["5.2"][0].split(".")

    assert pyproject["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    assert f"sys.version_info < ({major}, {minor})" in (ROOT / "scripts" / "bootstrap.py").read_text()


def test_package_brings_its_data():
    package = resources.files("closient_auth")

    catalog = "locale/de/LC_MESSAGES/django.mo"
    for name in ("py.typed", "migrations/0001_initial.py", "templates/admin/closient_auth", catalog):
        path = package.joinpath(name)
        assert path.is_file() or path.is_dir(), name


def test_licence_is_the_one_declared(project):
    assert project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_top_level_is_what_we_agreed_on(shipped):
    assert {path.parts[0] for path in shipped} <= TOP_LEVEL


def test_nothing_names_a_place_on_somebodys_machine(shipped):
    # The pattern is split, so it does not match this file.
    place = re.compile("/wo" + r"rk/|/ho" + r"me/\w|/ro" + r"ot/|/tm" + r"p/v\d")
    texts = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in shipped}

    assert {str(path): place.findall(text) for path, text in texts.items() if place.search(text)} == {}


def test_keys_needs_no_settings():
    """``keys`` imports only Django's choices, random generator and lazy translations."""
    source = resources.files("closient_auth").joinpath("keys.py").read_text()
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.partition(".")[0] not in sys.stdlib_module_names} == {
        "django.db.models",
        "django.utils.crypto",
        "django.utils.translation",
    }

    code = "from closient_auth.keys import *; print(verify_api_key(generate_api_key(KeyType.BUSINESS)))"
    # ``-I`` ignores environment variables, including the settings module, and imports the installed package.
    answer = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout == "True\n"


def test_an_old_python_can_read_the_bootstrap():
    """An old Python has to parse the file to print the error about its version."""
    tree = ast.parse((ROOT / "scripts" / "bootstrap.py").read_text())
    nodes = list(ast.walk(tree))
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.YieldFrom, ast.Nonlocal, ast.Starred)

    assert [node.lineno for node in nodes if isinstance(node, new)] == []
    assert [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.returns] == []
    assert [node.lineno for node in nodes if isinstance(node, ast.arg) and node.annotation] == []
    assert [ast.dump(node) for node in nodes if isinstance(node, ast.arguments) and node.kwonlyargs] == []


def test_project_urls(project):
    urls = project["urls"]
    repository = "https://github.com/closient/closient-auth"

    assert urls == {
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Documentation": "https://closient-auth.readthedocs.io/",
        "Homepage": repository,
        "Issues": f"{repository}/issues",
        "Source": repository,
    }


def test_security_policy_has_the_private_reporting_address(project):
    addresses = re.findall(r"https://github\.com/[\w/-]+/advisories/new", (ROOT / "SECURITY.md").read_text())

    assert addresses == [f"{project['urls']['Source']}/security/advisories/new"]


def test_yaml_files_parse(shipped):
    paths = [path for path in shipped if path.suffix in {".yaml", ".yml"}]

    assert {".pre-commit-config.yaml", ".readthedocs.yaml", ".github/workflows/ci.yml"} <= set(map(str, paths))
    for path in paths:
        assert isinstance(yaml.safe_load((ROOT / path).read_text()), dict), path


def test_workflow_runs_the_ci_script_and_the_nightly_races():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}

    # YAML 1.1 reads the key "on" as True.
    assert set(workflow[True]) == {"push", "pull_request", "schedule"}
    assert commands["ci"][-1] == "CI=true bash .ci/run"
    assert commands["races"] == ["make races"]
    assert workflow["jobs"]["ci"]["timeout-minutes"] == 30
    assert re.search(r"^races:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_workflow_covers_the_python_versions():
    """The Debian 12 image of each job adds Python 3.11."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())

    assert ["3.11", *workflow["jobs"]["ci"]["strategy"]["matrix"]["python"]] == MATRIX["5.2"]


def test_documentation_is_built_with_its_dependency_group(pyproject):
    settings = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())

    assert settings["sphinx"] == {"configuration": "docs/conf.py", "fail_on_warning": True}
    assert settings["build"]["jobs"]["install"][-1].endswith("install . --group docs")
    assert "docs" in pyproject["dependency-groups"]
