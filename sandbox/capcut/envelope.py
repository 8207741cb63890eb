"""What the answers of VectCut look like, and what can be wrong with them, as data.

HTTP 200 with `success` for nearly everything. The status of a wrong key, and the words for keys, credits and failed
renders, are unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.faults import Fault
from sandbox.wire import HTML_TYPE, Answer, json_answer

HELP: Final = " You can click the link below for help: "
PURCHASE_LINK: Final = "https://www.example.org/purchase"
LOST_ID: Final = "dfd_cat_1700000000_0badc0de"
EXPORT_FAILED: Final = "Video export failed"
WORDS: Final[Mapping[int, str]] = {
    400: "Bad Request",
    404: "Not Found",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Refused(Exception):
    """An answer that says `success: false`; the text is its error."""

    def __init__(self, error: str, status: int = 200, purchase_link: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.purchase_link = purchase_link


class Page(Exception):
    """An answer of the web framework, not of the API: a page."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status

    def answer(self) -> Answer:
        """As it is sent."""
        return Answer(self.status, page(self.status).encode(), {"Content-Type": HTML_TYPE})


def page(status: int) -> str:
    """The page for a status."""
    words = WORDS[status]
    return f"<!doctype html>\n<html lang=en>\n<title>{status} {words}</title>\n<h1>{words}</h1>\n"


def enveloped(output: object, cloud: bool) -> Answer:
    """A success; the cloud adds a link that sells something."""
    return json_answer({"error": "", "output": output, "success": True} | ({"purchase_link": ""} if cloud else {}))


def refusal(refused: Refused, cloud: bool) -> Answer:
    """A failure."""
    more = {"purchase_link": refused.purchase_link} if cloud else {}
    return json_answer({"error": refused.error, "output": "", "success": False} | more, refused.status)


def failed(error: str, status: int = 200, **more: str) -> Fault:
    """A failure as a fault."""
    body = {"error": error, "output": "", "success": False, **more}
    return Fault(status=status, headers=more_headers(status), body=body, work=False)


def more_headers(status: int) -> dict[str, str]:
    """What comes with a status."""
    return {"Retry-After": "1"} if status == 429 else {}


def framework(status: int, work: bool = False) -> Fault:
    """A page as a fault."""
    return Fault(status=status, headers={"Content-Type": HTML_TYPE}, body=page(status), work=work)


def look(status: str, error: str | None) -> Fault:
    """What a look at a render finds, as a fault."""
    output = look_json("6c653617-8133-4c51-8bd0-8635e9e25879", status, None, error=error)
    return Fault(body={"error": "", "output": output, "success": True, "purchase_link": ""}, work=False)


def look_json(
    task_id: str, status: str, progress: int | None, result: str | None = None, error: str | None = None
) -> dict[str, Any]:
    """The state of a render; only at its end is it a success."""
    return {
        "status": status,
        "success": status == "SUCCESS",
        "progress": progress,
        "message": "" if error is None else error,
        "result": result,
        "error": error,
        "task_id": task_id,
    }


LOST: Final = {"draft_id": LOST_ID, "draft_url": f"https://www.example.org/draft/downloader?draft_id={LOST_ID}"}
FAULTS: Final[Mapping[str, Fault]] = {
    "unauthorized": failed("Invalid API key.", 401),
    "forbidden": failed("This key may not use this service.", 403),
    "no_credits": failed("Insufficient credits.", purchase_link=PURCHASE_LINK),
    "rate_limited": failed("Too many requests.", 429),
    "bad_request": framework(400),
    "unsupported_media_type": framework(415),
    "server_error": framework(500),
    "server_error_after": framework(500, work=True),
    "bad_gateway": framework(502),
    "bad_gateway_after": framework(502, work=True),
    "unavailable": framework(503),
    "missing_parameter": failed("Hi, the required parameters 'video_url' are missing."),
    "overlap": failed(
        "Error occurred while processing video: New segment overlaps with existing segment "
        f"[start: 1000000, end: 3000000].{HELP}"
    ),
    "unsupported_font": failed(f"Error occurred while processing text: Unsupported font: X .{HELP}"),
    "unknown_effect": failed("Error occurred while adding effect: Unknown scene effect type: nope. "),
    "download_failed": failed(f"Error occurred while processing video: Failed to download the media.{HELP}"),
    "network_error": failed(f"Error occurred while processing video: Connection reset by peer.{HELP}"),
    "draft_lost": Fault(body={"error": "", "output": LOST, "success": True}, work=False),
    "task_not_found": failed("Task with ID x not found. Please check if the task ID is correct."),
    "render_pending": look("PENDING", None),
    "render_failed": look("FAILURE", EXPORT_FAILED),
    "render_timeout": look("FAILURE", "Render task timeout"),
    "save_failed": Fault(
        body={
            "error": "",
            "output": {
                "completed_files": 0,
                "draft_url": "",
                "message": "Failed to save draft",
                "progress": 0,
                "status": "failed",
                "total_files": 0,
            },
            "success": True,
        },
        work=False,
    ),
}
