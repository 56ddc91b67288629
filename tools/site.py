"""The documentation site, for MkDocs: pages that are made, and links that leave docs/.

    make docs      writes build/site; a broken link ends it

README.md is the first page; CONTRIBUTING.md and CHANGELOG.md are pages, too. Every public module
has a page of the API reference, made by mkdocstrings. A link to another file of the project leads
to a page that shows its text. When all is written, every link and picture is looked up, and nothing
may be asked of another server.
"""

from __future__ import annotations

import logging
import posixpath
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.pages import broken_links

ROOT = Path(__file__).resolve().parent.parent
LOG = logging.getLogger("mkdocs.hooks.site")

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
MODULES = (
    "minicnn.models",
    "minicnn.layers",
    "minicnn.activations",
    "minicnn.losses",
    "minicnn.metrics",
    "minicnn.optimizers",
    "minicnn.optimizers.schedules",
    "minicnn.regularizers",
    "minicnn.constraints",
    "minicnn.initializers",
    "minicnn.callbacks",
    "minicnn.datasets",
    "minicnn.utils",
    "minicnn.preprocessing.image",
    "minicnn.model_selection",
    "minicnn.plotting",
    "minicnn.explain",
    "minicnn.diagnosis",
    "minicnn.gradcheck",
    "minicnn.course",
    "minicnn.tuning",
    "minicnn.reports",
    "minicnn.saving",
    "minicnn.interop",
    "minicnn.sklearn",
    "minicnn.distributed",
    "minicnn.config",
    "minicnn.backend",
)
NAV = (  # pages of docs/, where they are
    ("Use it", ("guide.md", "from-keras.md", "keras-differences.md", "distributed.md")),
    ("Look inside", ("pictures.md", "explain.md", "diagnose.md")),
    (
        "How well it works",
        ("results.md", "correctness.md", "mutants.md", "benchmarks.md", "profile.md", "scaling.md"),
    ),
    ("How it is made", ("reading.md", "design.md", "contributing.md", "changes.md")),
)

LINK = re.compile(r"(\]\()([^()\s]+)(\))|((?:src|href)=\")([^\"]+)(\")")
FENCE = re.compile(r"(^```.*?^```[ ]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


# -- what MkDocs calls ----------------------------------------------------------------------------


def on_files(files: Any, config: Any) -> Any:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for module in modules():
        files.append(File.generated(config, f"api/{module}.md", content=reference(module)))
    shown: set[str] = set()
    for file in [file for file in files if file.is_documentation_page()]:
        shown |= {path for path in linked(file) if not page_of(path)}
    for path in sorted(shown):
        if not (ROOT / path).is_dir():
            files.append(File.generated(config, f"source/{path}.md", content=source_page(path)))
    for path in sorted(shown):
        if (ROOT / path).is_dir():
            files.append(File.generated(config, f"source/{path}.md", content=folder_page(path)))
    config.nav = navigation({file.src_uri for file in files})
    config.validation.nav.omitted_files = logging.INFO  # pages of sources stand in no menu
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    here = page.file.src_uri
    if here.startswith(("api/", "source/")):
        return markdown

    def moved(match: re.Match[str]) -> str:
        raw = match[4] is not None
        before, target, after = match.groups()[3:] if raw else match.groups()[:3]
        path, mark, place = target.partition("#")
        if not path or urlsplit(target).scheme:
            return match[0]
        repo = posixpath.normpath(posixpath.join(posixpath.dirname(repo_path(here)), unquote(path)))
        there = page_of(repo) or f"source/{repo}.md"
        if not (ROOT / repo).exists():
            LOG.warning("%s: a link to %s, which is not there", repo_path(here), target)
        found = posixpath.relpath(there, posixpath.dirname(here) or ".")
        if raw:  # MkDocs leaves HTML as it stands
            found = re.sub(r"\.md$", ".html", found)
        return f"{before}{found}{mark}{place}{after}"

    parts = FENCE.split(markdown)  # code is every other part
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    # the theme sets the height of pictures, unless a style does
    return re.sub(r'height="(\d+)"', r'style="height: \1px"', "".join(parts))


def on_post_build(config: Any) -> None:
    faults = broken_links(Path(config.site_dir))
    if faults:
        listed = "\n".join(faults[:50])
        raise PluginError(f"{len(faults)} links of the site are broken:\n{listed}")


# -- pages ----------------------------------------------------------------------------------------


def modules() -> list[str]:
    """The modules of the reference that this copy of the package has."""
    found = []
    for module in MODULES:
        path = ROOT.joinpath(*module.split("."))
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            found.append(module)
    return found


def reference(module: str) -> str:
    return f"# {module}\n\n::: {module}\n"


def source_page(path: str) -> str:
    file = ROOT / path
    if not file.exists():
        return f"# {path}\n"
    text = file.read_text("utf-8")
    kind = {".py": "python", ".md": "markdown"}.get(file.suffix, "text")
    fence = "`" * (3 + max((len(run) for run in re.findall(r"`{3,}", text)), default=0))
    return f"# {path}\n\n{fence}{kind}\n{text}\n{fence}\n"


def folder_page(path: str) -> str:
    names = sorted(file.name for file in (ROOT / path).iterdir() if file.suffix in (".py", ".md"))
    return f"# {path}\n\n" + "".join(f"- `{name}`\n" for name in names)


def repo_path(src_uri: str) -> str:
    """The file of the project that a page is made from."""
    made = {page: source for source, page in PAGES.items()}
    return made.get(src_uri, f"docs/{src_uri}")


def page_of(path: str) -> str | None:
    """The page or file of the site that shows a file of the project; None if there is none."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def linked(file: File) -> set[str]:
    """The files of the project that a page's links lead to."""
    if file.src_uri.startswith("api/"):
        return set()
    here = posixpath.dirname(repo_path(file.src_uri))
    text = "".join(FENCE.split(file.content_string)[::2])
    targets = (match[2] or match[5] for match in LINK.finditer(text))
    paths = (unquote(target.partition("#")[0]) for target in targets if not urlsplit(target).scheme)
    return {posixpath.normpath(posixpath.join(here, path)) for path in paths if path}


def navigation(pages: set[str]) -> list[Any]:
    nav: list[Any] = [{"minicnn": "index.md"}]
    course = sorted(page for page in pages if re.fullmatch(r"course/[^/]+\.md", page))
    if course:
        course.sort(key=lambda page: not page.endswith("README.md"))
        nav.append({"Course": course})
    known = {page for _, listed in NAV for page in listed}
    for title, listed in NAV:
        nav.append({title: [page for page in listed if page in pages]})
    rest = {page for page in pages if page.endswith(".md") and "/" not in page}
    nav[-1][NAV[-1][0]] += sorted(rest - known - {"index.md"})
    nav.append({"Reference": [{module: f"api/{module}.md"} for module in modules()]})
    return nav
