"""TikTok's stand-in within the test's own process, where the test says what time it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sandbox.routes import Match, Router, StandIn
from sandbox.tiktok_ads.accounts import ADVERTISERS
from sandbox.tiktok_ads.platform import TikTok
from sandbox.wire import Answer, Request

NOW: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()
APP: Final = "7300000000000000001"
SECRET: Final = "tt_app_secret_1"
EU, US, JAPAN = ADVERTISERS
ALL: Final = {"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}


class Api:
    """A client whose answers are `(code, data)`."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.platform = TikTok(lambda: self.now)
        self.stand_in: StandIn = self.platform.stand_in()
        self.token: str | None = self.do("issue_token", app_id=APP, secret=SECRET)
        self._router = Router({"tiktok_ads": self.stand_in})

    def do(self, action: str, **arguments: Any) -> Any:
        """What may be done beyond the API."""
        return self.stand_in.actions[action](arguments)

    def send(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """A request as it is; the answer as it is."""
        match = self._router.find(method, path)
        assert isinstance(match, Match), (method, path)
        headers = {"host": "sandbox.test"} | ({} if self.token is None else {"access-token": self.token})
        said = match.handler(Request(method, match.path, query, headers, body, self.now, params=match.params))
        assert isinstance(said, Answer)
        return said

    def get(self, path: str, **args: Any) -> tuple[int, Any]:
        """Arrays and objects are JSON in the query."""
        plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in args.items()}
        return opened(self.send("GET", f"/open_api/v1.3/{path}", urlencode(plain)))

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """A JSON body."""
        return opened(self.send("POST", f"/open_api/v1.3/{path}", body=json.dumps(body).encode()))

    def create(self, name: str = "Winter blend", **others: Any) -> tuple[int, Any]:
        """A campaign for traffic in the European account."""
        usual = {"objective_type": "TRAFFIC", "budget_mode": "BUDGET_MODE_DAY", "budget": 75.0}
        return self.post("campaign/create/", **{"advertiser_id": EU, "campaign_name": name, **usual, **others})

    def report(self, **others: Any) -> tuple[int, Any]:
        """Campaigns by day in the European account, in November until today, deleted ones too."""
        usual = {
            "advertiser_id": EU,
            "report_type": "BASIC",
            "data_level": "AUCTION_CAMPAIGN",
            "dimensions": ["campaign_id", "stat_time_day"],
            "metrics": ["spend", "impressions", "clicks", "conversion"],
            "start_date": "2026-11-01",
            "end_date": "2026-11-20",
            "filtering": [ALL],
            "page_size": 1000,
        }
        return self.get("report/integrated/get/", **{**usual, **others})

    def pages(self, path: str, size: int, **args: Any) -> Iterator[dict[str, Any]]:
        """The items of all pages."""
        page, pages = 0, 1
        while page < pages:
            page += 1
            code, data = self.get(path, page=page, page_size=size, **args)
            assert code == 0
            yield from data["list"]
            pages = data["page_info"]["total_page"]


def opened(answer: Answer) -> tuple[int, Any]:
    """Code and data of an envelope; its other parts are as they must be."""
    assert answer.status == 200
    said = json.loads(answer.body)
    assert sorted(said) == ["code", "data", "message", "request_id"]
    assert answer.headers["X-Tt-Logid"] == said["request_id"]
    assert said["message"]
    return said["code"], said["data"]
