"""Markdown: what it looks like, what never comes through, and how much work any text may make."""

import asyncio
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.work.talk.markdown import (
    MOST_LINKS,
    MOST_MENTIONS,
    Reference,
    parse,
    render,
    rendered,
    understood,
)

BOB = Reference("user", "0199c0de-0000-7000-8000-00000000b0b0")
ALLOWED: dict[str, set[str]] = {
    "a": {"href", "title", "rel"},
    "code": {"class"},
    "img": {"src", "alt", "title", "loading", "referrerpolicy"},
    "input": {"type", "checked", "disabled"},
    "li": {"class"},
    "ol": {"start"},
    "span": {"class", "data-kind", "data-id"},
    "td": {"align"},
    "th": {"align"},
    **{
        tag: set()
        for tag in (
            "blockquote", "br", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre", "s", "strong", "table",
            "tbody", "thead", "tr", "ul",
        )
    },
}  # fmt: skip


class Strict(HTMLParser):
    """Reads HTML as a browser would, and holds every tag and attribute against a list."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert set(given) <= ALLOWED[tag], (tag, attrs)
        if tag == "a":
            href = given.get("href") or "https:"
            assert href.lower().startswith(("http:", "https:", "mailto:")), href
            assert given["rel"] == "nofollow noopener noreferrer"
        if tag == "img":
            assert (given["src"] or "").lower().startswith("https://"), attrs
        if tag == "input":
            assert (given["type"], given["disabled"]) == ("checkbox", "")
        if "class" in given:
            shown = given["class"] or ""
            assert shown.startswith("language-") if tag == "code" else shown in ("mention", "task-list-item")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def shown(text: str, names: dict[Reference, str] | None = None) -> str:
    return render(parse(text), names or {})


def checked(text: str, names: dict[Reference, str] | None = None) -> str:
    html = shown(text, names)
    reader = Strict()
    reader.feed(html)
    reader.close()
    return html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Is the *left* wall **dry**?", "<p>Is the <em>left</em> wall <strong>dry</strong>?</p>"),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("`a < b`", "<p><code>a &lt; b</code></p>"),
        (
            "see https://a.example/x_y?q=1",
            (
                '<p>see <a href="https://a.example/x_y?q=1" rel="nofollow noopener noreferrer">'
                "https://a.example/x_y?q=1</a></p>"
            ),
        ),
        (
            "write to bob@acme.com",
            (
                '<p>write to <a href="mailto:bob@acme.com" rel="nofollow noopener noreferrer">'
                "bob@acme.com</a></p>"
            ),
        ),
        ("readme.md is a file", "<p>readme.md is a file</p>"),
        (
            "- [x] tape\n- [ ] foil",
            (
                '<ul>\n<li class="task-list-item"><input type="checkbox" disabled="" checked=""> tape</li>\n'
                '<li class="task-list-item"><input type="checkbox" disabled=""> foil</li>\n</ul>'
            ),
        ),
        (
            "|a|b|\n|:-:|-|\n|1|2|",
            (
                '<table>\n<thead>\n<tr>\n<th align="center">a</th>\n<th>b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n'
                '<td align="center">1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>'
            ),
        ),
        ("```py\nx\n```", '<pre><code class="language-py">x\n</code></pre>'),
        ("[up](/admin) [x](#here)", "<p>[up](/admin) [x](#here)</p>"),
        ("![wall](http://a.example/x.png)", "<p>wall</p>"),
        (
            "![wall](https://a.example/x.png)",
            '<p><img src="https://a.example/x.png" alt="wall" loading="lazy" referrerpolicy="no-referrer"></p>',
        ),
    ],
)
def test_what_it_looks_like(text: str, html: str) -> None:
    assert checked(text) == html


NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A&#x61lert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](\\\\evil.example\\share)",
    '[x](https://a.example/"onmouseover="alert(1))',
    "[x](https://a.example 'x\" onmouseover=\"alert(1)')",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    "![x](javascript:alert(1))",
    '!["onerror="alert(1)](https://a.example/x.png)',
    '![x](https://a.example/x.png"onerror="alert(1))',
    "<javascript:alert(1)>",
    '<https://a.example/"onclick=alert(1)>',
    "[a]: javascript:alert(1)\n\n[a]",
    "[a]: <javascript:alert(1)>\n\n![a]",
    '```"><script>alert(1)</script>\nx\n```',
    "```x onmouseover=alert(1)\nx\n```",
    "`<script>alert(1)</script>`",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<style>@import 'https://evil.example'</style>",
    "<input autofocus onfocus=alert(1)>",
    "- [x] <input onclick=alert(1)>",
    "|<script>|\n|-|\n|<img src=x onerror=alert(1)>|",
    "@[<img src=x onerror=alert(1)>](user:" + BOB.id + ")",
    '@[x"onclick="alert(1)](role:managers)',
    '@[x](user:"><script>alert(1)</script>)',
    "\u202ehttps://a.example",
    "https://a.example/\u0000<script>",
    "www.evil.example javascript:alert(1) ftp://a.example",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_what_is_nasty_comes_to_nothing(text: str) -> None:
    html = checked(text, {BOB: "<b onclick=alert(1)>Bob</b>"})
    assert "<script" not in html
    checked(f"> - {text}\n\n| {text} |\n|-|\n| {text} |\n\n# {text}\n\n*{text}*")


_PIECES = st.one_of(
    st.sampled_from([
        *NASTY, "\n", "\n\n", " ", "> ", "- ", "1. ", "    ", "`", "```", "*", "_", "~~", "[", "]", "(", ")", "![", "<", ">",
        "|", "|-|-|\n", "\\", "&", "#", ";", '"', "'", ":", "/", "javascript:", "https://a.example/", "mailto:", "@[", "](user:",
        "](role:owner)", f"@[Bob](user:{BOB.id})", "[x] ", "[a]: ",
    ]),
    st.text(max_size=6),
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40).map("".join), st.text(max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_text_becomes_nothing_but_what_is_listed(text: str, name: str) -> None:
    checked(text, {BOB: name, Reference("role", "owner"): "owner"})


def test_mentions_are_shown_by_the_name_that_is_known() -> None:
    text = f"@[Robert](user:{BOB.id}), @[Nobody](user:{uuid4()}) and **@[managers](role:manager)**"
    parsed = parse(text)
    assert parsed.mentions[0] == BOB
    assert parsed.mentions[2] == Reference("role", "manager")
    assert shown(text, {BOB: "Bob & Co"}) == (
        f'<p><span class="mention" data-kind="user" data-id="{BOB.id}">@Bob &amp; Co</span>, @Nobody and '
        "<strong>@managers</strong></p>"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"`@[Bob](user:{BOB.id})`",
        f"```\n@[Bob](user:{BOB.id})\n```",
        f"\\@[Bob](user:{BOB.id})",
        f"![@[Bob](user:{BOB.id})](https://a.example/x.png)",
        f"@[](user:{BOB.id})",
        f"@[Bob](person:{BOB.id})",
        "@[Bob](user:)",
        "@bob",
        f"@[Bob] (user:{BOB.id})",
    ],
)
def test_what_is_no_mention(text: str) -> None:
    assert parse(text).mentions == ()
    assert "mention" not in checked(text, {BOB: "Bob"})


def test_so_many_mentions_and_no_more() -> None:
    text = " ".join(f"@[x](user:{uuid4()}) @[Bob](user:{BOB.id})" for _ in range(MOST_MENTIONS + 5))
    mentions = parse(text).mentions
    assert len(mentions) == len(set(mentions)) == MOST_MENTIONS


def _repeated(piece: str) -> Callable[[int], str]:
    return lambda size: (piece * (size // len(piece) + 1))[:size]


JUNK: dict[str, Callable[[int], str]] = {
    piece: _repeated(piece)
    for piece in (
        "> ", "- ", "* a\n", "> - ", "[", "![", "](", "[a](", "[a][", "[a]: b\n", "[[]()", "`a", "``a`", "*", "_a", "**a ", "*a_",
        "***a", "_![a](![", "<http:// ", "~~", "<", "<a ", "<!--", "<a@b.c>", "&", "&#1;", "\\", "@[", "@[a](user:", "a@b.c ", "https://a.b ", "//a.b ",
        "|a|\n|-|\n", "- [ ] x\n", "[INFO] a\n", "[a]", "![a]", "[[a]", "[*a", "[a][b] ", "a://", "[http://b]",
    )
} | {
    "brackets": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "parentheses": lambda size: "[a](" + "(" * (size // 2) + ")" * (size // 2 - 4),
    "backticks": lambda size: "".join("`" * n + " " for n in range(1, int((2 * size) ** 0.5))),
    "quotes": lambda size: "\n".join(">" * n for n in range(1, int((2 * size) ** 0.5))),
    "lists": lambda size: "\n".join(" " * (2 * n) + "- a" for n in range(1, int(size**0.5))),
    "wide table": lambda size: "|" + "a|" * (size // 5) + "\n|" + "-|" * (size // 5) + "\n",
    "emphasis": lambda size: "*a " * (size // 6) + "b* " * (size // 6),
}  # fmt: skip


def _calls(text: str) -> tuple[int, int]:
    """How many functions are called to render a text, and how much comes out."""
    count = 0

    def called(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        html = shown(text)
    finally:
        sys.setprofile(before)
    return count, len(html)


@pytest.mark.parametrize("junk", JUNK)
def test_the_work_grows_with_the_text_and_no_faster(junk: str) -> None:
    """As much for each character, however long the text is: what holds here holds for 20,000."""
    few, many = 600, 3_000
    (small, _), (large, size) = _calls(JUNK[junk](few)), _calls(JUNK[junk](many))
    assert large / many <= small / few * 1.5
    assert large <= many * 250
    assert size <= many * 12


def test_so_many_links_and_no_more() -> None:
    """Where each begins the rest of the text may be read: what is beyond stays text."""
    page = shown("![a](https://b.c) " * (MOST_LINKS + 20))
    assert page.count("<img") == MOST_LINKS


LINK = '<a href="https://b.c" rel="nofollow noopener noreferrer">a</a>'


@pytest.mark.parametrize(
    "line",
    ["- [ ] item", "- [x] item", "[INFO] started", "a[0] = [b]", "![INFO]", "redis://a.example", "[] and []"],
)
def test_what_is_no_link_leaves_room_for_those_that_are(line: str) -> None:
    for between in ("\n", "\n\n"):
        assert LINK in shown(f"{line}\n" * (MOST_LINKS + 1) + f"{between}see [a](https://b.c)")


def test_short_references_count() -> None:
    assert shown("[a] " * (MOST_LINKS + 20) + "\n\n[a]: https://b.c").count(LINK) == MOST_LINKS


def test_a_table_is_not_filled_up_without_end() -> None:
    """A wide head over as many short lines as a comment can have."""
    text = "|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n" + "x\n" * 9_750
    calls, size = _calls(text)
    assert calls <= 20_000 * 250
    assert size <= 20_000 * 12


async def test_long_texts_are_worked_on_beside() -> None:
    """Two at once do not mix their links up."""
    texts = [f"https://{name}.example/ " * 400 for name in ("a", "b", "c")]
    parsed = await asyncio.gather(*(understood(text) for text in texts))
    pages = await asyncio.gather(*(rendered(text, one, {}) for text, one in zip(texts, parsed, strict=True)))
    for name, page in zip("abc", pages, strict=True):
        assert page.count(f'href="https://{name}.example/"') == 400
