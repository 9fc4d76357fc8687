"""The rules of the house that no linter knows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import ForeignKey

pytestmark = pytest.mark.architecture

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cssm", "pki", "accounts", "alerts", "licensing", "sync", "agents")
LAYERS = ("common", "pki", "accounts", "alerts", "licensing", "sync")
MODULE_CAP, MOST_MODULES_CAP, TEMPLATE_CAP = 400, 250, 80


def modules(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in path.parts and "__pycache__" not in path.parts
    ]


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_module_is_longer_than_the_cap():
    too_long = {str(p.relative_to(ROOT)): n for p in modules(*PACKAGES, "tests") if (n := lines_of(p)) > MODULE_CAP}
    assert too_long == {}


def test_nine_modules_in_ten_are_short():
    lengths = [lines_of(path) for path in modules(*PACKAGES)]
    assert sum(length <= MOST_MODULES_CAP for length in lengths) >= 0.9 * len(lengths)


def test_no_template_is_longer_than_the_cap():
    templates = (ROOT / "templates").rglob("*.html")
    assert {str(p.relative_to(ROOT)): n for p in templates if (n := lines_of(p)) > TEMPLATE_CAP} == {}


def test_no_file_name_says_nothing():
    empty_names = {"utils", "helpers", "misc", "common_utils"}
    assert [str(path) for path in modules(*PACKAGES, "tests") if path.stem in empty_names] == []


def test_a_foreign_key_points_to_its_own_app_or_one_below():
    upward = []
    for label in LAYERS:
        if not apps.is_installed(label) and label not in apps.app_configs:
            continue
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.get_fields():
                if not isinstance(field, ForeignKey) or field.model is not model:
                    continue
                target = field.related_model._meta.app_label
                if target in LAYERS and LAYERS.index(target) > LAYERS.index(label):
                    upward.append(f"{model._meta.label}.{field.name} → {target}")
    assert upward == []


def test_no_import_hides_inside_a_function_without_a_reason():
    hidden = []
    for path in modules(*PACKAGES):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.match(r"\s+(from \S+ )?import ", line) and "TYPE_CHECKING" not in line:
                previous = path.read_text().splitlines()[number - 2]
                if "TYPE_CHECKING" in previous or re.match(r"\s+(from \S+ )?import ", previous):
                    continue
                if "# noqa: PLC0415  " not in line and "F401, PLC0415  " not in line and line.lstrip() == line.strip():
                    hidden.append(f"{path.relative_to(ROOT)}:{number}")
    assert [place for place in hidden if "querysets" not in place] == []


def test_type_checking_imports_lead_only_from_querysets_to_models():
    users = [p for p in modules(*PACKAGES) if re.search(r"if TYPE_CHECKING:\n\s+(from|import) ", p.read_text())]
    assert [str(p) for p in users if "querysets" not in str(p)] == []


def test_a_silenced_check_says_why():
    bare = []
    for path in modules(*PACKAGES):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.search(r"# (noqa|type: ignore)(: ?[A-Z]+\d+(, ?[A-Z]+\d+)*|\[[\w, -]+\])?\s*$", line):
                bare.append(f"{path.relative_to(ROOT)}:{number}")
    assert bare == []


def test_a_task_is_a_thin_wrapper():
    fat = []
    for path in modules(*PACKAGES):
        if path.name == "tasks.py":
            for body in re.split(r"^@shared_task", path.read_text(), flags=re.MULTILINE)[1:]:
                if len(body.strip().splitlines()) > 11:
                    fat.append(str(path))
    assert fat == []


def test_the_import_graph_holds():
    finished = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:]


def test_no_third_party_asset_is_copied_into_the_tree():
    static = ROOT / "static"
    assert [
        str(path) for path in static.rglob("*") if path.is_file() and "portal" not in path.relative_to(static).parts[0]
    ] == []
