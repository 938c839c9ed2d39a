"""The Serve configuration for clusters, and what it builds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.serving.application import INGRESS, NAME, READERS
from mplus_ray.services.serving.cluster import Arguments, build
from tests.paths import ROOT

_FILE = ROOT / "deploy" / "serve" / "cluster.yaml"


@pytest.fixture
def _shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLUS_LEDGER_URL", "postgresql+psycopg://h/d")
    monkeypatch.setenv("MPLUS_STORE_URL", "s3://bucket/rows")
    monkeypatch.setenv("MPLUS_CHECKPOINT", "somebody/mplus-8b")


@pytest.mark.usefixtures("_shared")
def test_the_configuration_is_valid_and_builds() -> None:
    schema = ServeDeploySchema(**yaml.safe_load(_FILE.read_text()))
    (wanted,) = schema.applications
    assert wanted.name == NAME
    assert wanted.import_path == f"{build.__module__}:{build.__name__}"
    builder: Any = build
    app: Any = call_user_app_builder_with_args_if_necessary(builder, wanted.args)  # as Serve does
    ingress = app._bound_deployment
    readers = ingress.init_args[1]._bound_deployment
    assert ingress.name == INGRESS
    assert ingress.init_args[2] == "mplus-8b"
    assert readers._deployment_config.autoscaling_config.max_replicas == wanted.args["largest"]
    assert readers.ray_actor_options["num_gpus"] == wanted.args["reader_gpus"]
    (changed,) = wanted.deployments
    assert changed.name == READERS
    assert changed.user_config is not None
    assert changed.user_config.keys() == readers._deployment_config.user_config.keys()


def test_files_of_one_machine_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="MPLUS_LEDGER_URL"):
        build(Arguments())


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="readers"):
        Arguments(readers=3)  # type: ignore[call-arg]
