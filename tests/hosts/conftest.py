from __future__ import annotations

# The tests of the host projects run in processes of their own, in copies of the projects.
collect_ignore_glob = ["*/project", "*/after"]
