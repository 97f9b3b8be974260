"""ESP-IDF's module of this name, as the package esp-idf-defs carries it."""

from esp_idf_defs.partitions import *  # noqa: F403
