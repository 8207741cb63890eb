"""Integrations as pages show them: what stands where, who must act, which fields a form has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.parts import Parts
from api.ui.render import title_of
from api.ui.words import ago, ahead, lasting
from providers import PROVIDERS
from providers.contract import Provider, Rate
from worker import accounts

OURS = ("account_id", "account_name")


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a connect form, as it is drawn. `kept`: left empty, what is there stays."""

    name: str
    label: str
    secret: bool
    required: bool
    value: str
    help: str
    kept: bool


def inputs(facts: Provider, shared: Parts, given: Mapping[str, str], row: Any | None = None) -> list[Input]:
    """The form that a provider's fields make; filled with what was given, else with what an account has."""
    own = accounts.secret_names(shared.vault, row) if row is not None else frozenset()
    config = row.config if row is not None else {}
    set_here = shared.installed[facts.name].credentials
    made = []
    for each in facts.fields:
        kept = each.name in own
        from_settings = each.name in set_here
        value = "" if each.sensitive else str(given.get(each.name, config.get(each.name, each.default or "")))
        help = each.help or ("This installation has one; fill in to use another." if from_settings else "")
        required = each.required and each.default is None and not kept and not from_settings
        made.append(Input(each.name, each.label, each.sensitive, required, value, help, kept))
    return made


def filled(facts: Provider, form: Mapping[str, str]) -> dict[str, str]:
    """What was filled in; a secret that was left empty is not meant."""
    secret = {each.name for each in facts.fields if each.sensitive}
    given = {each.name: form.get(f"field-{each.name}", "").strip() for each in facts.fields}
    return {name: value for name, value in given.items() if value or name not in secret}


@dataclass(frozen=True, slots=True)
class Act:
    """Who has to do something about an account, and what."""

    who: str  # "you", "the provider", "nobody"
    what: str


def waits_for_choice(row: Any) -> bool:
    """Whether nobody has said yet which of a login's accounts it is."""
    facts = PROVIDERS.get(row.provider)
    oauth = facts.oauth if facts else None
    there = row.state not in ("disconnected", "needs_reconnect") and "account_id" not in row.config
    return there and oauth is not None and oauth.accounts is not None


def who_acts(row: Any) -> Act | None:
    """Who must act where an account does not simply work; None where it does."""
    title = title_of(row.provider)
    if row.state == "needs_reconnect":
        return Act("you", f"Connect it again: {row.state_reason}")
    if row.state == "blocked":
        return Act("you", f"Mend it at {title}, then resume: {row.state_reason}")
    if row.state == "paused":
        resume = f"Resume it when you like. {row.state_reason}"
        return Act("you", "Choose the account to use." if waits_for_choice(row) else resume)
    if row.state == "disconnected":
        return Act("you", "Connect it again if it is needed.")
    if ahead(row.held_until):
        return Act("the provider", f"Calls go on {ago(row.held_until)}. {row.hold_reason or ''}")
    if row.consecutive_failures:
        count, since = row.consecutive_failures, ago(row.failing_since)
        return Act("nobody yet", f"The last {count} calls failed, the first of them {since}; they are tried again.")
    return None


@dataclass(frozen=True, slots=True)
class Life:
    """How long an account's token is good. `share`: what is left of it, 0 to 100; None where it does not end."""

    said: str
    share: int | None
    tone: str


def life(row: Any) -> Life | None:
    """The token behind an account; None where there is none."""
    if row.token_version is None:
        return None
    if row.grant_state == "dead":
        return Life("ended: only a new login helps", 0, "bad")
    if row.token_expires_at is None:
        return Life("does not end", None, "good")
    left_s = (row.token_expires_at - datetime.now(UTC)).total_seconds()
    if left_s <= 0:
        return Life(f"ended {ago(row.token_expires_at)}", 0, "bad" if row.token_next_refresh_at is None else "warn")
    whole_s = max((row.token_expires_at - row.obtained_at).total_seconds(), 1)
    return Life(f"{lasting(left_s)} left", round(100 * min(left_s / whole_s, 1)), "good")


def limits(row: Any) -> list[str]:
    """Which limits hold for an account's calls, in words."""
    facts = PROVIDERS.get(row.provider)
    said = []
    if row.rate_per_s is not None:
        said.append(f"{float(row.rate_per_s):g} calls a second (its own)")
    elif facts is not None:
        said += [_rate(rate, whose) for rate, whose in ((facts.rate, "an account"), (facts.app_rate, "all")) if rate]
    if row.max_in_flight is not None:
        said.append(f"{row.max_in_flight} calls at once (its own)")
    if facts is not None and facts.ceiling is not None:
        said.append("calls at once: as many as the provider's answers allow")
    return said


def _rate(rate: Rate, whose: str) -> str:
    each = "a second" if rate.per_s == 1 else "a minute" if rate.per_s == 60 else f"in {lasting(rate.per_s)}"
    return f"{rate.count} calls {each} for {whose}"


def known_as(row: Any) -> str:
    """The account at the provider that it uses."""
    known = (row.config.get(name) for name in (*OURS, "currency"))
    return " ".join(str(each) for each in known if each)


def plain_fields(row: Any) -> Mapping[str, Any]:
    """What an account is set to, but for its secrets and its account's name."""
    return {name: value for name, value in row.config.items() if name not in OURS}


def with_streams(rows: Sequence[Any], facts: Provider | None) -> list[tuple[str, Any | None]]:
    """Each stream of a provider with its row, where it has one."""
    by_name = {row.stream: row for row in rows}
    return [(each.name, by_name.get(each.name)) for each in (facts.streams if facts else ())]
