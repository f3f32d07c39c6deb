"""The Sphinx site around the notebooks of this folder, which are executed already.

Nothing that it writes asks for an address outside itself, so the site opens from a disk with no network.
"""

from pathlib import Path
from typing import Any

from helpers.publish import site

PAGES = Path(__file__).parent

project = "Transfer learning on CIFAR-10, run again"
author = "The transfer-report authors"
copyright = "2026, " + author

extensions = ["myst_nb", "sphinx-mathjax-offline", "sphinxcontrib.bibtex"]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"
exclude_patterns = ["_build"]
suppress_warnings = ["mystnb.unknown_mime_type"]

# Fences without a language hold shell commands; a notebook's cells say that they are Python.
highlight_language = "none"

# The landing page quotes the executed notebooks, so that it can state no other number than they do.
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
myst_substitutions = site.quotations(PAGES)

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["report.css"]
html_copy_source = False
html_theme_options = {
    "navbar_persistent": [],  # else there are two search boxes
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "footer_content_items": ["extra-footer.html"],
}


def setup(app: Any) -> None:
    """Let names of records lead to them, and every page say how it came about."""
    app.connect("doctree-resolved", site.link_records)
    app.connect("html-page-context", site.say_provenance)
