"""Pictures of the rankings of a test."""

from nr3d.report.ranking import draw_ranking, save_picture, write_rankings

__all__ = ["draw_ranking", "save_picture", "write_rankings"]
