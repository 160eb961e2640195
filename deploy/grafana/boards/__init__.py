"""The boards, in the order in which they link to each other; each has a module of its own."""

from typing import Final

from deploy.grafana.boards.agency import AGENCY_BOARD
from deploy.grafana.boards.backups import BACKUPS_BOARD
from deploy.grafana.boards.data_centre import DATA_CENTRE_BOARD
from deploy.grafana.boards.goals import GOALS_BOARD
from deploy.grafana.boards.links import LINKS_BOARD
from deploy.grafana.boards.monitoring import MONITORING_BOARD
from deploy.grafana.boards.province import PROVINCE_BOARD
from deploy.grafana.spec import DashboardSpec

BOARDS: Final[tuple[DashboardSpec, ...]] = (
    PROVINCE_BOARD,
    AGENCY_BOARD,
    DATA_CENTRE_BOARD,
    LINKS_BOARD,
    BACKUPS_BOARD,
    GOALS_BOARD,
    MONITORING_BOARD,
)
