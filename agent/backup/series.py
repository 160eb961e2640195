"""The measures' help texts that several kinds share: a person looks for ``haidang_backup_*``, whoever brought it."""

from typing import Final

SERIES: Final = "backup"
AGE: Final = "Age of the newest good copy, or since the job last ended well"
LAST_SUCCESS: Final = "When the newest good copy was made, or the job last ended well, by the agent's clock"
DURATION: Final = "How long making the newest copy, or the job's last run, took, where that is known"
RPO_MET: Final = "1 while that age is within its objective (RPO), else 0"
