"""Pictures of what a test found."""

from nr3d.report.ranking import draw_ranking, save_picture, write_rankings

__all__ = ["draw_ranking", "save_picture", "write_rankings"]
