"""deploy/kubernetes, rendered as Kustomize would and held against Kubernetes' own schemas, the settings and itself."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from service.settings import PREFIX, SECRETS, Settings, load_settings
from service.web.published import OPERATIONS
from service.web.server import GRACEFUL_SHUTDOWN_S
from workers.worker import LONGEST_STOP_S

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
EXAMPLE = KUBERNETES / "overlays" / "example"

OLDEST = (1, 30)
"""Oldest Kubernetes the manifests are for, as (major, minor)."""

LEAST_MARGIN_S = 5
"""What is left for closing connections before the kill, in seconds."""

Manifest = dict[str, Any]


def kustomization(folder: Path) -> Manifest:
    """A folder's kustomization.yaml."""
    found: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return found


def render(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder, as far as ours go: generated names keep no hash, and a field that is
    not understood here is a failure rather than left out. Secret files that only an operator has are taken as empty."""
    said = kustomization(folder)
    understood = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "secretGenerator"}
    assert set(said) <= understood, "teach render() the new field"
    found: list[Manifest] = []
    for name in said["resources"]:
        path = folder / name
        if path.is_dir():
            found += render(path)
        else:
            found += [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    for generator in said.get("configMapGenerator", []):
        if generator.get("behavior") != "merge":
            found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": {}})
        literals = (literal.split("=", 1) for literal in generator["literals"])
        the(found, "ConfigMap", generator["name"])["data"] |= dict(literals)
    for generator in said.get("secretGenerator", []):
        keys = {Path(path).name: "" for path in generator["files"]}
        found.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": generator["name"]}, "data": keys})
    for image in said.get("images", []):
        for container in (container for each in found for container in containers(each)):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    if "namespace" in said:
        for each in found:
            each["metadata"]["namespace"] = said["namespace"]
    return found


def the(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one manifest of a kind and name."""
    (found,) = (each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def all_of(kind: str) -> list[Manifest]:
    """Every manifest of a kind in the base."""
    return [each for each in render(KUBERNETES / "base") if each["kind"] == kind]


def pod(deployment: Manifest) -> Manifest:
    """The specification of a Deployment's pods."""
    found: Manifest = deployment["spec"]["template"]["spec"]
    return found


def containers(manifest: Manifest) -> list[Manifest]:
    """Every container of a manifest, if it has pods."""
    if manifest["kind"] != "Deployment":
        return []
    return [*pod(manifest)["containers"], *pod(manifest).get("initContainers", [])]


def selected(selector: dict[str, str]) -> set[str]:
    """The names of the base's Deployments whose pods carry these labels."""
    return {
        each["metadata"]["name"]
        for each in all_of("Deployment")
        if selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    }


def deployment(name: str) -> Manifest:
    """One of the base's Deployments."""
    return the(render(KUBERNETES / "base"), "Deployment", name)


VERSIONS = [version for version in all_versions() if tuple(map(int, version.split(".")[:2])) >= OLDEST]
BOTH = pytest.mark.parametrize("name", ["logoutd-service", "logoutd-worker"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", [KUBERNETES / "base", EXAMPLE], ids=["base", "example"])
def test_every_manifest_satisfies_the_schema_of_every_kubernetes_we_claim(folder: Path, version: str) -> None:
    manifests = render(folder)
    assert len(manifests) >= 9
    for each in manifests:
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_would_notice_a_mistake() -> None:
    broken = deployment("logoutd-service")
    pod(broken)["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_every_manifest_in_the_folder_is_listed_and_names_no_namespace() -> None:
    base = KUBERNETES / "base"
    assert set(kustomization(base)["resources"]) == {path.name for path in base.iterdir()} - {"kustomization.yaml"}
    assert [each for each in render(base) if "namespace" in each["metadata"]] == []


@BOTH
def test_a_pods_environment_is_one_the_process_starts_with(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render(EXAMPLE)
    specification = pod(the(manifests, "Deployment", name))
    (container,) = specification["containers"]
    mounted = secret_files(specification, manifests)
    given = {
        **the(manifests, "ConfigMap", container["envFrom"][0]["configMapRef"]["name"])["data"],
        **{each["name"]: each["value"] for each in container["env"]},
    }
    contents = {
        "redis-url": "rediss://:password@redis.example.com:6379/0",
        "admin-token": "0123456789abcdef",
        "audit-key": "0123456789abcdef" * 4,
    }
    for variable, value in given.items():
        if value.startswith("/"):
            assert value in mounted, f"{variable} names a file that is not mounted"
            copy = tmp_path / Path(value).name
            copy.write_text(contents.get(copy.name, "{}"))
            monkeypatch.setenv(variable, str(copy))
        else:
            monkeypatch.setenv(variable, value)

    settings = load_settings()

    settings.require("public_url", "signing_keys_file", "redis_url")
    assert {Path(each).name for each in mounted} == {Path(each).name for each in given.values() if each.startswith("/")}
    assert bool(settings.admin_token.get_secret_value()) == (name == "logoutd-service")
    assert settings.audit_key.get_secret_value() == contents["audit-key"], "kept away from the trail it seals"
    assert not set(given) & {f"{PREFIX}{secret}" for secret in SECRETS}, "secrets are files"


def secret_files(specification: Manifest, manifests: list[Manifest]) -> set[str]:
    """The paths under which a pod finds its secrets; each has to be a key of the Secret."""
    found = set()
    for volume in specification["volumes"]:
        for mount in specification["containers"][0]["volumeMounts"]:
            if mount["name"] == volume["name"] and "secret" in volume:
                keys = the(manifests, "Secret", volume["secret"]["secretName"])["data"]
                assert mount["readOnly"] is True
                assert volume["secret"]["defaultMode"] == 0o440
                assert {item["key"] for item in volume["secret"]["items"]} <= set(keys)
                found |= {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    return found


def test_the_base_leaves_open_what_only_an_operator_knows() -> None:
    base = render(KUBERNETES / "base")
    assert f"{PREFIX}PUBLIC_URL" not in the(base, "ConfigMap", "logoutd")["data"]
    assert [each for each in base if each["kind"] == "Secret"] == []


def test_the_example_brings_secrets_from_files_that_git_ignores_and_the_page_makes() -> None:
    (generator,) = kustomization(EXAMPLE)["secretGenerator"]
    page = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for path in generator["files"]:
        assert Path(path).parent == Path("secrets")
        assert page.count(f" > {path}\n") == 2, "once for Compose, once here"
    assert not list(KUBERNETES.rglob(".gitignore"))
    assert "secrets/" in (ROOT / "deploy" / ".gitignore").read_text(encoding="utf-8").splitlines()


@BOTH
def test_no_pod_is_told_of_services_in_variables_that_look_like_settings(name: str) -> None:
    assert [each["metadata"]["name"] for each in all_of("Service")] == ["logoutd"], "else this matters no more"
    assert pod(deployment(name))["enableServiceLinks"] is False


@BOTH
def test_every_container_runs_as_nobody_and_can_change_nothing(name: str) -> None:
    specification = pod(deployment(name))
    user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert specification["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[0][0]),
        "runAsGroup": int(user[0][1]),
        "fsGroup": int(user[0][1]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in containers(deployment(name)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}
        assert set(container["resources"]["limits"]) == {"memory", "ephemeral-storage"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}


@BOTH
def test_no_pod_holds_a_token_for_the_kubernetes_api(name: str) -> None:
    specification = pod(deployment(name))
    (account,) = all_of("ServiceAccount")
    assert specification["serviceAccountName"] == account["metadata"]["name"]
    assert specification["automountServiceAccountToken"] is False
    assert account["automountServiceAccountToken"] is False


def test_every_selector_selects_the_pods_it_is_meant_for() -> None:
    for each in all_of("Deployment"):
        assert selected(each["spec"]["selector"]["matchLabels"]) == {each["metadata"]["name"]}
        for constraint in pod(each)["topologySpreadConstraints"]:
            assert selected(constraint["labelSelector"]["matchLabels"]) == {each["metadata"]["name"]}
    (service,) = all_of("Service")
    assert selected(service["spec"]["selector"]) == {"logoutd-service"}
    budgets = all_of("PodDisruptionBudget")
    assert len(budgets) == 2
    for each in budgets:
        assert selected(each["spec"]["selector"]["matchLabels"]) == {each["metadata"]["name"]}
        assert each["spec"]["maxUnavailable"] < deployment(each["metadata"]["name"])["spec"]["replicas"]


def test_the_network_lets_callers_reach_the_service_and_nobody_a_worker() -> None:
    port = Settings.model_fields["port"].default
    everything, service = all_of("NetworkPolicy")
    assert selected(everything["spec"]["podSelector"]["matchLabels"]) == {"logoutd-service", "logoutd-worker"}
    assert everything["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert everything["spec"]["ingress"] == []
    outwards = {(rule["port"], rule["protocol"]) for each in everything["spec"]["egress"] for rule in each["ports"]}
    assert outwards == {(53, "UDP"), (53, "TCP"), (6379, "TCP"), (443, "TCP")}
    assert selected(service["spec"]["podSelector"]["matchLabels"]) == {"logoutd-service"}
    assert service["spec"]["policyTypes"] == ["Ingress"]
    assert service["spec"]["ingress"] == [{"ports": [{"port": port, "protocol": "TCP"}]}]


def test_the_service_listens_where_the_settings_say_and_the_service_of_kubernetes_leads_there() -> None:
    port = Settings.model_fields["port"].default
    base = render(KUBERNETES / "base")
    (container,) = containers(deployment("logoutd-service"))
    assert container["args"] == ["serve"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert the(base, "ConfigMap", "logoutd")["data"][f"{PREFIX}PORT"] == str(port)
    (exposed,) = the(base, "Service", "logoutd")["spec"]["ports"]
    assert (exposed["port"], exposed["targetPort"]) == (port, "http")


def test_the_services_probes_tell_alive_from_able() -> None:
    (container,) = containers(deployment("logoutd-service"))
    assert {"/healthz", "/readyz"} <= {operation.path for operation in OPERATIONS}
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
        assert container[probe]["timeoutSeconds"] <= container[probe]["periodSeconds"]


def test_a_worker_answers_for_its_own_heartbeat_and_outlives_a_redis_that_is_gone_for_minutes() -> None:
    (container,) = containers(deployment("logoutd-worker"))
    assert container["args"] == ["work"]
    assert "ports" not in container
    assert '"--check"' in (ROOT / "workers" / "__main__.py").read_text(encoding="utf-8")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["exec"] == {"command": ["python", "-m", "workers", "--check"]}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 300


def test_grace_periods_cover_what_has_to_happen_in_them() -> None:
    service, worker = deployment("logoutd-service"), deployment("logoutd-worker")
    (config,) = kustomization(KUBERNETES / "base")["configMapGenerator"]
    given = dict(each.split("=", 1) for each in config["literals"])
    leaving = int(given["LOGOUTD_SHUTDOWN_DELAY_SECONDS"])
    readiness = containers(service)[0]["readinessProbe"]
    assert leaving >= readiness["periodSeconds"] * readiness["failureThreshold"], "routers have heard of it"
    assert "lifecycle" not in containers(service)[0]
    assert pod(service)["terminationGracePeriodSeconds"] >= leaving + GRACEFUL_SHUTDOWN_S + LEAST_MARGIN_S
    assert "lifecycle" not in containers(worker)[0]
    assert pod(worker)["terminationGracePeriodSeconds"] >= LONGEST_STOP_S + LEAST_MARGIN_S


@BOTH
def test_a_rollout_never_has_fewer_than_it_should(name: str) -> None:
    specification = deployment(name)["spec"]
    assert specification["replicas"] >= 2
    assert specification["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_base_and_example_run_the_version_that_is_built() -> None:
    version = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[0]
    for folder in (KUBERNETES / "base", EXAMPLE):
        images = {container["image"].rpartition("/")[2] for each in render(folder) for container in containers(each)}
        assert images == {f"logoutd:{version}"}
