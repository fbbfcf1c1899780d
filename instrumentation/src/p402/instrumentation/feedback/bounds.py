"""How many tokens of input a provider can count at most for a request (pure).

Every token stands for at least one byte of UTF-8, so the bytes of the request's JSON are a bound of its text; what frames
messages and tools is shorter than the JSON around them. To this comes what providers add by themselves. Media are not
counted by their bytes: an image takes at most so many tokens, sound so many for a byte. Where a request points to content
that it does not hold, or lets the provider fetch some, there is no bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from p402.decisions import Ability

__all__ = ["Input", "exact_text", "read_input"]

OWN_TOKENS = 16
"""What a provider adds to a request: marks of its begin and end."""
TEMPLATE_TOKENS = 128
"""What chat templates of open models add: the date, a line about the system."""
TOOLS_TOKENS = 64
"""For tools altogether, beside their JSON."""
EXPLAINED_TOOLS_TOKENS = 640
"""The longest of the prompts by which Anthropic explains tools to its models is 530."""
MESSAGE_TOKENS = 8
"""What frames a message, or a part of one, at OpenAI: 3 or 4."""
TYPED_TOOL_TOKENS = 1_024
"""For a tool that the provider defines and the application runs: a computer, an editor, a shell."""
IMAGE_TOKENS = 12_288
"""The most that one image takes: 10,000 patches at OpenAI in original size, with a reserve."""
IMAGE_TOKENS_MINI = 49_152
"""gpt-4o-mini counts images 33-fold: 2,833 + 5,667 for each of eight tiles."""
SOUND_CHARACTERS = 16
"""Characters of base64 for a token of sound: 32 tokens a second at 8 kbit/s would be 41."""

_OUTSIDE = frozenset(
    {
        "cachedContent", "cached_content", "container", "conversation", "mcp_servers", "plugins",
        "previous_response_id", "search_parameters", "web_search_options",
    }
)  # fmt: skip
_ONLINE = re.compile("search-preview|deep-research|:online|compound|sonar")
_RUN_HERE = (
    "apply_patch", "bash", "computer", "custom", "function", "local_shell", "memory", "namespace", "shell",
    "str_replace", "text_editor",
)  # fmt: skip
_PARTS = frozenset(
    {
        "messages", "input", "contents", "system", "systemInstruction", "system_instruction", "documents", "inputs",
    }
)  # fmt: skip
"""Where content that is no text can be."""
_PLAIN_MESSAGE = 2  # fields: a role and a text
_PROMPTS = ("contents", "input", "instructions", "messages", "prompt", "system", "systemInstruction")
_IMAGES = ("image_url", "input_image", "image", "computer_screenshot")
_PLAIN = frozenset({"anthropic", "aws.bedrock", "azure.ai.openai", "cohere", "gcp.gemini", "gcp.vertex_ai", "openai"})
_EXPLAINS_LITTLE = frozenset({"azure.ai.openai", "gcp.gemini", "openai"})
_PLAIN_SOUND = ("wav", "mp3", "mpeg", "pcm", "aiff")


@dataclass(slots=True)
class Input:
    """What is known about a request's input."""

    tokens: int | None
    """An upper bound; None if there is none."""
    needs: set[Ability] = field(default_factory=set)
    media: bool = False
    caches: bool = False
    """Whether the request marks what is to be cached."""

    def add(self, ability: Ability, tokens: int | None, instead_of: int = 0) -> None:
        """Count a part that is no text; ``instead_of`` so many bytes."""
        self.needs.add(ability)
        self.media = True
        if tokens is None or self.tokens is None:
            self.tokens = None
        else:
            self.tokens += tokens - instead_of


def read_input(provider: str, model: str, body: Mapping[str, Any], raw: bytes) -> Input:
    """Read a request: how much it can be, and what kinds of content are in it."""
    found = Input(len(raw) + (OWN_TOKENS if provider in _PLAIN else TEMPLATE_TOKENS), caches="cache_control" in body)
    image = IMAGE_TOKENS_MINI if "4o-mini" in model else IMAGE_TOKENS
    for name, node in body.items():
        if name in _PARTS and (type(node) is list or type(node) is dict):
            _read_parts(node, found, image)
    _read_tools(provider, body, found)
    if (
        (not _OUTSIDE.isdisjoint(body) and any(body.get(name) for name in _OUTSIDE))
        or isinstance(body.get("prompt"), dict)
        or provider == "perplexity"
        or _is_online(model)
    ):
        found.tokens = None
    return found


@lru_cache(maxsize=1024)
def _is_online(model: str) -> bool:
    """Tell whether a model looks things up by itself."""
    return _ONLINE.search(model) is not None


def exact_text(body: Mapping[str, Any], raw: bytes, count: Callable[[str], int]) -> int | None:
    """Give a tighter bound with the model's own tokenizer, for requests to OpenAI that are text; None for others.

    Texts of messages are counted one by one; tools, schemas and all else that a model may read, by their bytes.
    """
    if read_input("openai", "", body, raw).media:
        return None
    tokens = OWN_TOKENS + (TOOLS_TOKENS if body.get("tools") or body.get("functions") else 0)
    for name, node in body.items():
        if name in _PROMPTS:
            tokens += _count(node, count)
        elif isinstance(node, dict | list):
            tokens += _bytes_of(node)
    return tokens


def _count(node: Any, count: Callable[[str], int]) -> int:
    """Count a text, or messages and their parts."""
    if isinstance(node, str):
        return count(node) + 1
    if isinstance(node, list):
        return sum(_count(one, count) for one in node)
    if not isinstance(node, dict):
        return _bytes_of(node)
    tokens = MESSAGE_TOKENS
    for name, child in node.items():
        if name in ("content", "text", "output") and isinstance(child, str | list):
            tokens += _count(child, count)
        elif name not in ("role", "type"):
            tokens += _bytes_of(child)
    return tokens


def _bytes_of(node: Any) -> int:
    return len(json.dumps(node))


def _read_tools(provider: str, body: Mapping[str, Any], found: Input) -> None:
    tools = body.get("tools") or body.get("functions") or body.get("toolConfig")
    if not tools:
        return
    found.needs.add(Ability.TOOLS)
    if found.tokens is None:
        return
    found.tokens += TOOLS_TOKENS if provider in _EXPLAINS_LITTLE else EXPLAINED_TOOLS_TOKENS
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        found.caches = found.caches or "cache_control" in tool or "cachePoint" in tool
        kind = tool.get("type")
        if isinstance(kind, str) and kind not in ("function", "custom"):
            if not kind.startswith(_RUN_HERE):
                found.tokens = None
                return
            found.tokens += TYPED_TOOL_TOKENS
        elif kind is None and "name" not in tool and not tool.keys() <= _DECLARATIONS:
            found.tokens = None  # Gemini's own: search, maps, code, contents of URLs
            return


_DECLARATIONS = {"functionDeclarations", "function_declarations", "function", "toolSpec", "cachePoint"}


def _read_parts(node: Any, found: Input, image: int) -> None:
    """Find what is not text, wherever it is: in messages, in results of tools, in documents."""
    if isinstance(node, list):
        for one in node:
            if isinstance(one, list) or (isinstance(one, dict) and not _is_plain(one)):
                _read_parts(one, found, image)
        return
    found.caches = found.caches or "cache_control" in node or "cachePoint" in node
    kind = node.get("type")
    if kind in _IMAGES:
        found.add(Ability.VISION, image, _inline(node))
    elif kind in ("input_audio", "audio"):
        _read_sound(node.get("input_audio") or node, found)
    elif kind in ("file", "input_file", "document", "container_upload"):
        _read_document(node, found)
    elif kind == "item_reference":
        found.tokens = None
    elif kind is not None or not _read_untyped(node, found, image):
        _read_parts([child for child in node.values() if isinstance(child, dict | list)], found, image)


def _is_plain(message: Mapping[str, Any]) -> bool:
    """Tell at a glance that there is only a role and a text."""
    return len(message) == _PLAIN_MESSAGE and type(message.get("content")) is str


def _read_untyped(node: Mapping[str, Any], found: Input, image: int) -> bool:
    """Read a part of Gemini's, Bedrock's or Ollama's; tells whether it is one."""
    blob, file = node.get("inlineData") or node.get("inline_data"), node.get("fileData") or node.get("file_data")
    images = node.get("images")
    if isinstance(blob, dict):
        _read_blob(_mime(blob), blob, found, image)
    elif isinstance(file, dict):
        found.add(*((Ability.VISION, image) if _mime(file).startswith("image/") else (Ability.DOCUMENTS, None)))
    elif isinstance(node.get("image"), dict):
        found.add(Ability.VISION, image, _inline(node["image"]))
    elif "document" in node or "video" in node:
        found.add(Ability.DOCUMENTS, None)
    elif isinstance(images, list):
        for one in images:
            found.add(Ability.VISION, image, len(one) if isinstance(one, str) else 0)
    else:
        return False
    return True


def _mime(part: Mapping[str, Any]) -> str:
    return str(part.get("mimeType") or part.get("mime_type") or "")


def _read_document(node: Mapping[str, Any], found: Input) -> None:
    source = node.get("source")
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        found.needs.add(Ability.DOCUMENTS)
        if source.get("type") == "content" and isinstance(source.get("content"), list):
            _read_parts(source["content"], found, IMAGE_TOKENS)
        return
    found.add(Ability.DOCUMENTS, None)  # pages are packed: their text may be longer than their bytes


def _read_sound(node: Any, found: Input) -> None:
    data = node.get("data") if isinstance(node, dict) else None
    length = len(data) if isinstance(data, str) else 0
    if length and node.get("format") in _PLAIN_SOUND:
        found.add(Ability.AUDIO, length // SOUND_CHARACTERS + 1, length)
    else:  # a sound that was made before has an id only; a silence may be packed to nearly nothing
        found.add(Ability.AUDIO, 0 if length else None)


def _read_blob(mime: str, data: Mapping[str, Any], found: Input, image: int) -> None:
    held = data.get("data")
    length = len(held) if isinstance(held, str) else 0
    if mime.startswith("image/"):
        found.add(Ability.VISION, image, length)
    elif mime.startswith("audio/"):
        plain = mime.removeprefix("audio/").removeprefix("x-") in _PLAIN_SOUND
        found.add(Ability.AUDIO, length // SOUND_CHARACTERS + 1 if plain else length, length)
    elif mime.startswith("text/"):
        found.needs.add(Ability.DOCUMENTS)
    else:
        found.add(Ability.DOCUMENTS, None)


def _inline(node: Any, depth: int = 3) -> int:
    """Give the length of the longest text below a part: of an image that is here, its base64."""
    if isinstance(node, str):
        return len(node)
    if isinstance(node, dict) and depth:
        return max((_inline(child, depth - 1) for child in node.values()), default=0)
    return 0
