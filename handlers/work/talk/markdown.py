"""Markdown of people, as HTML that any page may show: CommonMark with tables, strikethrough, links and task lists.

Two fences stand one behind the other: the renderer takes no raw HTML and no links but those listed here, and what it made
goes through a sanitiser that knows only what is listed here. A mention is written `@[Bob](user:<id>)`, `@[Design](team:<id>)`
or `@[managers](role:manager)`: people can read it, and clients make it. Inside of code it is code.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, image, link, linkify
from markdown_it.token import Token

Kind = Literal["user", "team", "role"]
InlineRule = Callable[[StateInline, bool], bool]

DEEPEST: Final = 20
"""Levels that quotes, lists and emphasis may be nested; what is deeper stays text."""
MOST_MENTIONS: Final = 50
"""Different mentions in one text (count); what is beyond stays text."""
MOST_CELLS: Final = 5_000
"""Cells of a table (count), reckoned as columns times the lines that are left: a short row is filled up to the width of the
head, so that a wide head over many short lines would become far more than was written. What is larger stays text."""
MOST_LINKS: Final = 500
"""Places in one text where a link or an image is, or is looked for at length (count); what is beyond stays text. For each
of them the whole rest of the text may be read, so that many that never end would take long.
"""
AT_ONCE: Final = 1_000
"""A longer text (characters) is worked on in a thread of its own, so that the others go on meanwhile."""

SCHEMES: Final = frozenset({"http", "https", "mailto"})
TAGS: Final = frozenset({
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li", "ol", "p",
    "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
})  # fmt: skip
ATTRIBUTES: Final = {
    "a": {"href", "title"},
    "code": {"class"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    "span": {"data-kind", "data-id"},
}
GIVEN: Final = {"img": {"loading": "lazy", "referrerpolicy": "no-referrer"}}
VALUES: Final = {
    "input": {"type": {"checkbox"}, "checked": {""}, "disabled": {""}},
    "img": {name: {value} for name, value in GIVEN["img"].items()},
    "td": {"align": {"left", "center", "right"}},
    "th": {"align": {"left", "center", "right"}},
}
CLASSES: Final = {"li": {"task-list-item"}, "span": {"mention"}}
REL: Final = "nofollow noopener noreferrer"

_MENTION: Final = re.compile(r"@\[([^\[\]\n]{1,200})\]\((user|team|role):([0-9a-z-]{1,64})\)")
_LINK: Final = re.compile(rf"(?:{'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)
_TODO: Final = re.compile(r"\[([ xX])\][ \t\n]")
_SHORT: Final = re.compile(r"!?\[[^\[\]`<\\]*\](?![(\[])")
"""Brackets in which nothing begins, and behind which nothing goes on: `[ ]`, `[INFO]`. Nothing but them is read."""
_SCHEME: Final = re.compile(r"https?\Z", re.IGNORECASE)
_ALIGN: Final = re.compile(r"text-align:(left|center|right)")


class Reference(NamedTuple):
    """Whom a mention is about: the id of a person or team, or a role by its name or id."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that is understood and not rendered yet."""

    tokens: list[Token]
    mentions: tuple[Reference, ...]
    """Who is mentioned, in the order of the text, each once."""


async def understood(text: str) -> Parsed:
    """`parse`, beside what else there is to do where it takes long."""
    return await asyncio.to_thread(parse, text) if len(text) > AT_ONCE else parse(text)


async def rendered(text: str, parsed: Parsed, names: Mapping[Reference, str]) -> str:
    """`render`, beside what else there is to do where it takes long."""
    return await asyncio.to_thread(render, parsed, names) if len(text) > AT_ONCE else render(parsed, names)


def parse(text: str) -> Parsed:
    """Understand a text; then it is known whom it mentions."""
    tokens = _OWN.markdown.parse(text)
    found = dict.fromkeys(token.meta["mention"] for token in _inner(tokens) if token.type == "mention")
    return Parsed(tokens, tuple(found)[:MOST_MENTIONS])


def render(parsed: Parsed, names: Mapping[Reference, str]) -> str:
    """A text as HTML. Mentions are shown by these names; those of nobody here are text."""
    markdown = _OWN.markdown
    return _SANITIZER.clean(
        markdown.renderer.render(parsed.tokens, markdown.options, {"names": names})
    ).strip()


def _inner(tokens: list[Token]) -> Iterator[Token]:
    return (inner for token in tokens for inner in token.children or ())


def _mention(state: StateInline, silent: bool) -> bool:
    """`@[Bob](user:<id>)` becomes a token of its own."""
    found = _MENTION.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "@" else None
    if found is None:
        return False
    if not silent:
        token = state.push("mention", "", 0)
        token.content = found[1]
        token.meta = {"mention": Reference(cast("Kind", found[2]), found[3])}
    state.pos = found.end()
    return True


def _bounded(rule: InlineRule, begin: str) -> InlineRule:
    """A rule that looks for links where they begin like this, for as long as there are not too many of them."""

    def bounded(state: StateInline, silent: bool) -> bool:
        start = state.pos
        if not state.src.startswith(begin, start):
            return False
        if begin == "://" and not _SCHEME.search(state.src, max(start - 5, 0), start):
            return False
        state.env["links"] = state.env.get("links", 0) + 1
        if state.env["links"] > MOST_LINKS:
            return False
        found = rule(state, silent)
        if not found and _SHORT.match(state.src, start, state.posMax):
            state.env["links"] -= 1
        return found

    return bounded


def _table(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    columns = state.src.count("|", state.bMarks[first], state.eMarks[first]) + 1
    return columns * (end - first) <= MOST_CELLS and table(state, first, end, silent)


def _task_lists(state: StateCore) -> None:
    """`- [x] done` gets a box that shows, and cannot change, whether it is."""
    tokens = state.tokens
    for item, paragraph, text in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (item.type, paragraph.type) != ("list_item_open", "paragraph_open") or not text.children:
            continue
        first, found = text.children[0], _TODO.match(text.content)
        if found and first.type == "text" and first.content.startswith(f"[{found[1]}]"):
            item.attrSet("class", "task-list-item")
            first.content = first.content[3:]
            text.children.insert(0, Token("box", "input", 0, meta={"ticked": found[1] != " "}))


def _cells(state: StateCore) -> None:
    """Cells say by an attribute how they are aligned: a page may forbid styles."""
    for token in state.tokens:
        if token.type in ("td_open", "th_open") and (
            found := _ALIGN.fullmatch(str(token.attrs.pop("style", "")))
        ):
            token.attrSet("align", found[1])


def _show_mention(_: Any, tokens: list[Token], at: int, options: Any, env: Mapping[str, Any]) -> str:
    token = tokens[at]
    mention: Reference = token.meta["mention"]
    name: str | None = env["names"].get(mention)
    if name is None:
        return escapeHtml(f"@{token.content}")
    data = f'data-kind="{mention.kind}" data-id="{escapeHtml(mention.id)}"'
    return f'<span class="mention" {data}>@{escapeHtml(name)}</span>'


def _show_box(_: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    return (
        f'<input type="checkbox" disabled=""{" checked=" + chr(34) * 2 if tokens[at].meta["ticked"] else ""}>'
    )


def _show_image(self: RendererHTML, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """An image that would come over an open line is its description."""
    if not str(tokens[at].attrs.get("src", "")).lower().startswith("https://"):
        return escapeHtml(self.renderInlineAsText(tokens[at].children or [], options, env))
    for name, value in GIVEN["img"].items():  # the sanitizer gives them too, but in no fixed order
        tokens[at].attrSet(name, value)
    return self.image(tokens, at, options, env)


def _make() -> MarkdownIt:
    made = MarkdownIt(
        "commonmark", {"html": False, "linkify": True, "breaks": True, "maxNesting": DEEPEST}
    )  # fmt: skip
    made.enable(["table", "strikethrough", "linkify"])
    made.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    if made.linkify is not None:
        # By its scheme alone: a file called readme.md is no place in Moldova.
        made.linkify.set({"fuzzy_link": False, "fuzzy_ip": False, "fuzzy_email": True})
    made.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    for name, rule, begin in (("link", link, "["), ("image", image, "!["), ("linkify", linkify, "://")):
        made.inline.ruler.at(name, _bounded(rule, begin))
    made.inline.ruler.before("link", "mention", _mention)
    made.core.ruler.push("task_lists", _task_lists)
    made.core.ruler.push("cells", _cells)
    for name, shown in (("mention", _show_mention), ("box", _show_box), ("image", _show_image)):
        made.add_render_rule(name, shown)
    return made


class _Own(threading.local):
    """A parser for each thread: that of links remembers the text it is at."""

    def __init__(self) -> None:
        self.markdown = _make()


_OWN: Final = _Own()
_SANITIZER: Final = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    tag_attribute_values=VALUES,
    set_tag_attribute_values=GIVEN,
    allowed_classes=CLASSES,
    url_schemes=SCHEMES,
    url_relative="deny",
    link_rel=REL,
)
