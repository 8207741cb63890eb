"""The agents of every workspace: what they take, and what they make of it. The same variables give the same result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from sandbox.mindstudio.errors import Refusal

Result = str | dict[str, Any]
Variables = Mapping[str, Any]

SUMMARY_MAX: Final = 140  # characters
TAGS_MAX: Final = 5
TAG_MIN: Final = 5  # letters of a word that becomes a hashtag
GLAD: Final = frozenset({"glad", "good", "great", "happy", "love", "nice", "perfect", "thanks", "wonderful"})
ANGRY: Final = frozenset({"again", "angry", "bad", "broken", "damaged", "hate", "late", "terrible", "worst", "wrong"})


@dataclass(frozen=True, slots=True)
class Workflow:
    """One flow of an agent; without output variables its result is a text."""

    name: str
    launch_variables: tuple[str, ...]
    output_variables: tuple[str, ...]
    result: Callable[[Variables], Result]


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent, which they also call app and worker. The first workflow is the main one."""

    id: str
    name: str
    slug: str
    description: str
    workflows: tuple[Workflow, ...]

    def workflow(self, name: str | None) -> Workflow:
        """The workflow of that name, case aside, the main one without a name; raises Refusal."""
        if name is None:
            return self.workflows[0]
        for workflow in self.workflows:
            if workflow.name.casefold() == name.casefold():
                return workflow
        raise Refusal("workflow_not_found", f"There is no workflow {name!r}.")


def text_of(variables: Variables, name: str, default: str = "") -> str:
    """A variable as a text."""
    value = variables.get(name, default)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def product_copy(variables: Variables) -> Result:
    """A title and a description for a product."""
    product, tone = text_of(variables, "product"), text_of(variables, "tone", "plain")
    return {"title": product.title(), "description": f"{product}: made with care, told in a {tone} voice."}


def summary(variables: Variables) -> Result:
    """The first sentence, if it is short enough, else its beginning."""
    first = re.split(r"(?<=[.!?])\s", text_of(variables, "text").strip(), maxsplit=1)[0]
    return {"summary": first if len(first) <= SUMMARY_MAX else first[: SUMMARY_MAX - 1] + "…"}


def hashtags(variables: Variables) -> Result:
    """The first long words as hashtags."""
    found = dict.fromkeys(word for word in words(text_of(variables, "text")) if len(word) >= TAG_MIN)
    return {"hashtags": " ".join(f"#{word}" for word in list(found)[:TAGS_MAX])}


def mood(variables: Variables) -> Result:
    """Glad, angry or neutral, by the words that say so; the score is a text, as all output variables are."""
    found = words(text_of(variables, "text"))
    score = sum(word in GLAD for word in found) - sum(word in ANGRY for word in found)
    label = "neutral" if score == 0 else "glad" if score > 0 else "angry"
    return {"mood": label, "score": str(score)}


def reply(variables: Variables) -> Result:
    """A polite answer, a text."""
    return f"Thank you for asking: {text_of(variables, 'question')}"


def echo(variables: Variables) -> Result:
    """All variables by name, a text: what an agent of no known kind says."""
    return "; ".join(f"{name}: {text_of(variables, name)}" for name in variables)


AGENTS: Final = (
    Agent(
        "3f0d1c52-7a4e-4b7e-9c1d-000000000001",
        "Shop Writer",
        "shop-writer",
        "Writes for a shop.",
        (
            Workflow("Main", ("product", "tone"), ("title", "description"), product_copy),
            Workflow("Summarise", ("text", "tone"), ("summary",), summary),
            Workflow("Hashtags", ("text",), ("hashtags",), hashtags),
        ),
    ),
    Agent(
        "3f0d1c52-7a4e-4b7e-9c1d-000000000002",
        "Mood Reader",
        "mood-reader",
        "Labels the mood of a message.",
        (Workflow("Main", ("text",), ("mood", "score"), mood),),
    ),
    Agent(
        "3f0d1c52-7a4e-4b7e-9c1d-000000000003",
        "Support Chat",
        "support-chat",
        "Answers a question.",
        (Workflow("Main", ("question",), (), reply),),
    ),
)
BY_ID: Final[Mapping[str, Agent]] = {agent.id: agent for agent in AGENTS}


def agent_and_workflow(app_id: str, workflow: str | None) -> tuple[Agent, Workflow]:
    """Who does a run; raises Refusal for ids that begin with `missing`. Unknown ids are agents that echo."""
    if app_id.startswith("missing"):
        raise Refusal("agent_not_found")
    known = BY_ID.get(app_id)
    if known is not None:
        return known, known.workflow(workflow)
    flow = Workflow(workflow or "Main", (), (), echo)
    return Agent(app_id, f"Agent {app_id}", app_id.lower(), "Repeats its variables.", (flow,)), flow


def stable_id(*parts: str) -> str:
    """A UUID that follows from the parts."""
    return str(uuid5(NAMESPACE_URL, "/".join(("mindstudio", *parts))))
