"""Compile the pipelines to the YAML files under version control: `python -m glacier_pipelines.compiling`."""

from __future__ import annotations

from pathlib import Path

COMPILED = Path(__file__).parent / "compiled"


def compile_pipelines(folder: Path) -> list[Path]:
    """Write every pipeline's IR YAML into a folder; the files written."""
    from kfp.compiler import Compiler

    from glacier_pipelines.monitoring import monitor_pipeline
    from glacier_pipelines.training import train_pipeline

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for pipeline in (train_pipeline, monitor_pipeline):
        path = folder / f"{pipeline.name}.yaml"
        Compiler().compile(pipeline, package_path=str(path))
        written.append(path)
    return written


if __name__ == "__main__":
    compile_pipelines(COMPILED)
