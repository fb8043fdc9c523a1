from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from glacier_pipelines.compiling import COMPILED, compile_pipelines


def test_compiled_pipelines_are_current(tmp_path: Path) -> None:
    written = compile_pipelines(tmp_path)
    assert sorted(path.name for path in written) == sorted(path.name for path in COMPILED.glob("*.yaml"))
    for path in written:
        kept = (COMPILED / path.name).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == kept, f"{path.name} is not current: run make compile"


@pytest.mark.parametrize("path", sorted(COMPILED.glob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_stage_is_a_task_and_only_small_values_travel(path: Path) -> None:
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for name, component in spec["components"].items():
        for side in ("inputDefinitions", "outputDefinitions"):
            assert "artifacts" not in component.get(side, {}), f"{name} passes an artifact"
    images = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert len(images) == 1
    commands = [" ".join(e["container"]["command"]) for e in spec["deploymentSpec"]["executors"].values()]
    assert not any("pip install" in command for command in commands)
