"""Objects and tool calls by libraries that build on OpenAI's protocol, unchanged, over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel

from tests import npm
from tests.integration.server import Server, memorize, new_tenant

pytestmark = pytest.mark.timeout(400)  # packages may have to be fetched
QUESTION = "Which bird is black?"
_SECONDS = 150

PYDANTIC_AI = """
import json, os
from typing import Literal
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ContentFilterError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

class Bird(BaseModel):
    colour: Literal["black", "white"]
    legs: Literal[2, 4]
    sings: bool

class Fish(BaseModel):
    fins: Literal[1, 2]

question = os.environ["QUESTION"]

def model(kind, key="KEY"):
    provider = OpenAIProvider(base_url=os.environ["URL"], api_key=os.environ[key])
    return kind(os.environ["MODEL"], provider=provider)

found = {}
for kind in (OpenAIChatModel, OpenAIResponsesModel):
    for form in (ToolOutput, NativeOutput, PromptedOutput):
        agent = Agent(model(kind), output_type=form(Bird))
        found[f"{kind.__name__} {form.__name__}"] = agent.run_sync(question).output.model_dump()
one_of_two = Agent(model(OpenAIChatModel), output_type=[Bird, Fish]).run_sync(question).output
assert isinstance(one_of_two, Bird | Fish)
agent = Agent(model(OpenAIChatModel), output_type=Bird)

@agent.tool_plain
def note(colour: Literal["black", "white"]) -> str:
    return "noted"

found["with a tool"] = agent.run_sync(question).output.model_dump()
try:
    Agent(model(OpenAIChatModel, "EMPTY_KEY"), output_type=Bird).run_sync(question)
except ContentFilterError as error:
    assert "nothing in memory" in str(error), error
else:
    raise AssertionError("an empty memory filled a form")
print(json.dumps(found))
"""

LANGCHAIN = """
import json, os
from typing import Literal
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

class Bird(BaseModel):
    colour: Literal["black", "white"]
    legs: Literal[2, 4]
    sings: bool

def chat(key="KEY"):
    return ChatOpenAI(
        model=os.environ["MODEL"], base_url=os.environ["URL"], api_key=os.environ[key],
        max_retries=0,
    )

question, found = os.environ["QUESTION"], {}
for method in ("json_schema", "function_calling"):
    found[method] = chat().with_structured_output(Bird, method=method).invoke(question).model_dump()
described = f"{question} As JSON of this schema: {json.dumps(Bird.model_json_schema())}"
mode = chat().with_structured_output(Bird, method="json_mode")
found["json_mode"] = mode.invoke(described).model_dump()
(call,) = chat().bind_tools([Bird], tool_choice="any").invoke(question).tool_calls
found["tool"] = call["args"]
try:
    chat("EMPTY_KEY").with_structured_output(Bird, method="json_schema").invoke(question)
except Exception as error:
    assert "nothing in memory" in str(error), error
else:
    raise AssertionError("an empty memory filled a form")
print(json.dumps(found))
"""

INSTRUCTOR = """
import json, os
from typing import Literal
import instructor
from openai import OpenAI
from pydantic import BaseModel

class Bird(BaseModel):
    colour: Literal["black", "white"]
    legs: Literal[2, 4]
    sings: bool

made = OpenAI(base_url=os.environ["URL"], api_key=os.environ["KEY"], max_retries=0)
asked = [{"role": "user", "content": os.environ["QUESTION"]}]
found = {}
for mode in ("TOOLS", "TOOLS_STRICT", "JSON", "JSON_SCHEMA", "RESPONSES_TOOLS"):
    client = instructor.from_openai(made, mode=getattr(instructor.Mode, mode))
    bird = client.chat.completions.create(
        model=os.environ["MODEL"], messages=asked, response_model=Bird, max_retries=0
    )
    found[mode] = bird.model_dump()
print(json.dumps(found))
"""

VERCEL = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, streamObject, tool } from "ai";
import { z } from "zod";

const schema = z.object({
  colour: z.enum(["black", "white"]), legs: z.enum(["two", "four"]), sings: z.boolean(),
});
const prompt = process.env.QUESTION;
const model = createOpenAICompatible({
  name: "mplus", baseURL: process.env.URL, apiKey: process.env.KEY,
  supportsStructuredOutputs: true,  // else it sends no schema
})(process.env.MODEL);
const asked = { model, prompt, maxRetries: 0 };
const { object } = await generateObject({ ...asked, schema });
const stream = streamObject({ ...asked, schema });
for await (const part of stream.partialObjectStream) void part;
const { output } = await generateText({ ...asked, output: Output.object({ schema }) });
const { toolCalls } = await generateText({
  ...asked, toolChoice: "required",
  tools: { note: tool({ description: "Note a bird.", inputSchema: schema }) },
});
const found = { object, output, streamed: await stream.object, called: toolCalls[0].input };
console.log(JSON.stringify(found));
"""


class Bird(BaseModel):
    """What a model of random weights can fill as well as any other."""

    colour: Literal["black", "white"]
    legs: Literal[2, 4]
    sings: bool


@pytest.fixture
def given(server: Server, operator: httpx.Client, tenant: httpx.Client) -> dict[str, str]:
    """What programs are given: where to ask, a key to a memory, and one to an empty memory."""
    memorize(tenant, "The raven is black and sits in the tall tree.")
    with new_tenant(server, operator, f"told-nothing-{uuid.uuid4().hex}") as empty:
        keys = [
            client.headers["authorization"].removeprefix("Bearer ") for client in (tenant, empty)
        ]
    return {
        "URL": f"{server.url}/v1",
        "KEY": keys[0],
        "EMPTY_KEY": keys[1],
        "MODEL": tenant.get("/v1/models").json()["data"][0]["id"],
        "QUESTION": QUESTION,
    }


def test_pydantic_ai(given: dict[str, str], tmp_path: Path) -> None:
    assert len(_birds(PYDANTIC_AI, tmp_path, given)) == 7


def test_langchain(given: dict[str, str], tmp_path: Path) -> None:
    assert len(_birds(LANGCHAIN, tmp_path, given)) == 4


def test_instructor(given: dict[str, str], tmp_path: Path) -> None:
    """It wants an older version of a package than openai does, so it has a folder of its own."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--target",
        str(tmp_path),
        "instructor",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip did not bring instructor in {_SECONDS} s")
    if done.returncode:
        pytest.skip(f"pip does not bring instructor here: {done.stderr.strip()[-200:]}")
    assert len(_birds(INSTRUCTOR, tmp_path, given)) == 5


def test_vercels_ai_sdk(given: dict[str, str], tmp_path: Path) -> None:
    npm.installed(tmp_path, "ai@7", "@ai-sdk/openai-compatible@3", "zod@4")
    found = npm.run(tmp_path, VERCEL, **given)
    assert len(found) == 4
    for bird in found.values():
        assert bird["colour"] in ("black", "white")
        assert bird["legs"] in ("two", "four")
        assert isinstance(bird["sings"], bool)


def _birds(program: str, folder: Path, given: dict[str, str]) -> list[Bird]:
    """What a program prints, each a bird; its packages may lie in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **given, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return [Bird.model_validate(each) for each in found.values()]
