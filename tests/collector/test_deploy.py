"""What is shipped for deployment, checked without an engine: it is well-formed, agrees with the settings, and runs as nobody special."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from p402.collector.settings import Settings, load_settings
from p402.vocabulary import Level
from support.prometheus import promtool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "collector" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "collector.yaml").read_text()))


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile in their order."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


def of_kind(kind: str) -> dict[str, Any]:
    [found] = [manifest for manifest in MANIFESTS if manifest["kind"] == kind]
    return found


def settings_given(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that an environment makes; each variable must be one."""
    for name, value in environment.items():
        assert name.removeprefix("P402_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    return load_settings()


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_special() -> None:
    words = instructions()
    assert [word for word, _ in words].count("FROM") == 2
    last = words[max(index for index, (word, _) in enumerate(words) if word == "FROM") :]
    assert ("USER", "10402:10402") in last
    assert not [rest for word, rest in last if word == "COPY" and not rest.startswith("--from=build")]
    assert last[-2:] == [("ENTRYPOINT", '["p402"]'), ("CMD", '["serve"]')]
    assert "ADD" not in [word for word, _ in words]


def test_the_image_copies_what_there_is_and_ignores_the_rest() -> None:
    copied = [rest.split()[0] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    kept = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(kept)
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_has_the_settings_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    [environment] = [rest for word, rest in instructions() if word == "ENV"]
    given = dict(pair.split("=", 1) for pair in environment.split() if pair.startswith("P402_"))
    settings = settings_given(given, monkeypatch)
    assert settings.key_required
    assert str(settings.data_dir) in [rest for word, rest in instructions() if word == "VOLUME"]
    exposed = next(rest for word, rest in instructions() if word == "EXPOSE").split()
    assert settings.grpc_listen is not None
    assert exposed == [str(settings.grpc_listen.port), str(settings.listen.port)]


def test_the_image_installs_the_versions_that_the_tests_ran_with(tmp_path: Path) -> None:
    [command] = [rest for word, rest in instructions() if word == "RUN" and rest.startswith("sed")]
    shutil.copy(ROOT / "tests" / "requirements.txt", tmp_path)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    lines = (tmp_path / "constraints.txt").read_text().splitlines()
    assert len(lines) == len(re.findall(r"^\S+==", (tmp_path / "requirements.txt").read_text(), re.MULTILINE))
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in lines)
    assert any(line.startswith("psycopg-binary==") for line in lines)


@pytest.mark.timeout(180)
def test_what_the_image_installs_has_all_that_is_no_code(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    parts = [str(ROOT / "exporters"), str(ROOT / "collector")]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", str(tmp_path), *parts], check=True)
    names = {name for wheel in tmp_path.glob("*.whl") for name in zipfile.ZipFile(wheel).namelist()}
    for wanted in (
        "p402/exporters/prometheus/rules/alerts.yaml",
        "p402/exporters/grafana/dashboards/p402-spend.json",
        "p402/exporters/grafana/provisioning/datasources/p402.yaml",
        "p402/collector/storage/migrations/env.py",
        "p402/collector/api/openapi.json",
    ):
        assert wanted in names


def test_compose_gives_the_collector_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        name: re.sub(r"\$\{[^}]*\}", "secret", value) for name, value in service("collector")["environment"].items()
    }
    settings = settings_given(given, monkeypatch)
    assert settings.postgresql_url == "postgresql://p402:secret@postgres/p402"
    assert [backend.url for backend in settings.backends] == ["http://jaeger:4318/v1/traces"]


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_compose_has_every_part_and_shows_it_to_this_machine_only() -> None:
    assert set(COMPOSE["services"]) == {"collector", "postgres", "jaeger", "prometheus", "grafana"}
    for name, one in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", [])), name
        assert set(one.get("depends_on", [])) <= set(COMPOSE["services"])
        assert "build" in one or re.fullmatch(r"[\w/]+:v?[\d.]+", one["image"]), "a version, and no moving name"


def test_a_session_in_jaeger_leads_to_its_receipts() -> None:
    """`end_to_end/test_viewer_recipes.py` shows that Jaeger takes this configuration."""
    jaeger = service("jaeger")
    [mount] = jaeger["volumes"]
    assert mount.split(":")[1] == jaeger["command"][0].rpartition("=")[2]
    [pattern] = json.loads((DEPLOY / mount.split(":")[0]).read_text())["linkPatterns"]
    assert (pattern["type"], pattern["key"]) == ("tags", Level.SESSION.attribute)
    published = service("collector")["ports"][0].removeprefix("127.0.0.1:").split(":")[0]
    assert pattern["url"] == f"http://localhost:{published}/v1/sessions/#{{p402.session}}"


def test_everything_that_compose_mounts_exists() -> None:
    mounts = [mount.split(":")[0] for one in COMPOSE["services"].values() for mount in one.get("volumes", [])]
    files = [DEPLOY / mount for mount in mounts if mount.startswith(".")]
    assert len(files) == 6
    assert [file for file in files if not file.resolve().exists()] == []
    assert {mount for mount in mounts if not mount.startswith(".")} == set(COMPOSE["volumes"])
    assert (DEPLOY / service("collector")["build"]["context"]).resolve() == ROOT


def test_prometheus_takes_its_configuration() -> None:
    assert "SUCCESS" in promtool("check", "config", DEPLOY / "prometheus.yaml")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: .ci/system installs it"
    unit = tmp_path / "p402.service"
    here = Path(sys.executable).parent / "p402"
    unit.write_text((DEPLOY / "p402.service").read_text().replace("/opt/p402/bin/p402", str(here)))
    found = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, [line for line in found.stderr.splitlines() if "p402" in line]) == (0, [])
    exposed = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=25", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert exposed.returncode == 0, exposed.stdout[-300:]  # an exposure of 2.5 of 10 at most


def test_the_unit_tells_the_collector_where_its_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(re.findall(r"^Environment=(P402_\w+)=(.*)$", (DEPLOY / "p402.service").read_text(), re.MULTILINE))
    assert given.pop("P402_CONFIG") == "/etc/p402/p402.toml"
    assert settings_given(given, monkeypatch).data_dir == Path("/var/lib/p402")


def test_manifests_are_whole_and_belong_together() -> None:
    assert [manifest["kind"] for manifest in MANIFESTS] == ["ServiceAccount", "ConfigMap", "Service", "StatefulSet"]
    for manifest in MANIFESTS:
        assert manifest["apiVersion"] in ("v1", "apps/v1")
        assert manifest["metadata"]["name"] == "p402-collector"
    stateful = of_kind("StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == of_kind("Service")["spec"]["selector"] == labels
    pod = stateful["template"]["spec"]
    [container] = pod["containers"]
    volumes = {
        volume["name"] for volume in [*pod["volumes"], *(c["metadata"] for c in stateful["volumeClaimTemplates"])]
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    named = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in of_kind("Service")["spec"]["ports"]} == named


def test_a_pod_is_probed_and_may_do_little() -> None:
    pod = of_kind("StatefulSet")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:10402" in [rest for word, rest in instructions() if word == "USER"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_a_pods_settings_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [container] = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    names = {variable["name"] for variable in container["env"]} - {"P402_CONFIG"}
    assert {name.removeprefix("P402_").lower() for name in names} <= set(Settings.model_fields)
    config = tmp_path / "p402.toml"
    config.write_text(of_kind("ConfigMap")["data"]["p402.toml"])
    monkeypatch.setenv("P402_CONFIG", str(config))
    assert load_settings().receipt_origin == "receipts.example.com"
