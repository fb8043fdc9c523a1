"""Pictures of calving fronts, and their lines as vectors."""

from glacier_core.report.fronts.lines import line_features, write_line_files
from glacier_core.report.fronts.pictures import draw_comparison, draw_positions, front_frames

__all__ = ["draw_comparison", "draw_positions", "front_frames", "line_features", "write_line_files"]
