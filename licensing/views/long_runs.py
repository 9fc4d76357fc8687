"""What is done row after row for many rows: a second at a time, with the progress shown, each row with its result.

What is to be done and what has come of it is kept in the session: leaving the page loses nothing, and coming back goes
on. Doing a row twice must change nothing the second time.
"""

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar, Final

from django.http import HttpRequest, HttpResponseBase

from cssm.common.views import PortalView

SECONDS_AT_ONCE: Final = 1.0


class LongRun(PortalView):
    """`job` is a plain dictionary; its `results` and `total` tell how far it is."""

    @property
    def job_key(self) -> str:
        """What it is kept under."""
        raise NotImplementedError

    def read_rows(self, job: dict[str, Any]) -> Sequence[Any]:
        """All rows of the job, always the same."""
        raise NotImplementedError

    def do_row(self, number: int, row: Any) -> dict[str, Any]:
        """Do one, numbered from 1, and tell what came of it, as plain data. Raises nothing that a row can cause."""
        raise NotImplementedError

    @property
    def job(self) -> dict[str, Any] | None:
        job: dict[str, Any] | None = self.request.session.get(self.job_key)
        return job

    def advance(self, job: dict[str, Any]) -> bool:
        """Go on for about a second; whether all are done."""
        rows = self.read_rows(job)
        started, results = monotonic(), list(job.get("results", []))
        for row in rows[len(results) :]:
            results.append(self.do_row(len(results) + 1, row))
            if monotonic() - started > SECONDS_AT_ONCE:
                break
        self.request.session[self.job_key] = {**job, "results": results, "total": len(rows)}
        return len(results) == len(rows)


class RunPage(LongRun):
    """Goes on until all are done, and shows what became of each."""

    template_name: str = ""
    progress_label: ClassVar[str] = "Working"

    @property
    def begin_url(self) -> str:
        """Where one is begun."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.job is None:
            return self.redirect(self.begin_url)
        return self.render(context=self.get_job_context(self.job))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.job is None or self.advance(self.job) or not self.wants_part:
            return self.redirect(request.get_full_path())
        return self.render_part("licensing/_run_progress.html", self.get_job_context(self.job))

    def get_job_context(self, job: dict[str, Any]) -> dict[str, Any]:
        results = job["results"]
        return {
            "done": len(results),
            "total": job["total"],
            "unfinished": len(results) < job["total"],
            "results": results,
            "run_url": self.request.get_full_path(),
            "progress_label": self.progress_label,
        }
