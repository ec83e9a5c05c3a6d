"""The built site: nothing missing, nothing stale, and names that change exactly when the content
does.
"""

import contextlib
import importlib.util
import io
import json
import re
import tempfile
import unittest
from pathlib import Path

spec = importlib.util.spec_from_file_location("car_rental_site", Path(__file__).resolve().with_name("build.py"))
site = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site)


class BuildTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def source(self, **files):
        """A source folder; `page_html` stands for page.html."""
        for name, content in files.items():
            (self.folder / name.replace("_", ".")).write_text(content, "utf-8")
        return self.folder

    def build(self, **files):
        return {name: content.decode() for name, content in site.Site(self.source(**files), {}).build().items()}

    def test_the_real_site(self):
        with contextlib.redirect_stdout(io.StringIO()):
            site.main(["--out", str(self.folder / "dist"), "--api-base", 'https://api.example.com/?a="&b'])
        dist = self.folder / "dist"
        page = (dist / "index.html").read_text("utf-8")
        self.assertIn('content="https://api.example.com/?a=&quot;&amp;b"', page)
        self.assertNotIn("%", page)
        for reference in re.findall(r'(?:src|href)="([^"]+)"', page):
            self.assertTrue((dist / reference).is_file(), reference)
        listed = json.loads((dist / site.MANIFEST).read_text("utf-8"))["files"]
        self.assertEqual(set(listed.values()), {f"assets/{asset.name}" for asset in (dist / "assets").iterdir()})
        self.assertRegex(listed["app.js"], r"^assets/app\.[0-9a-f]{10}\.js$")
        for asset in (dist / "assets").iterdir():
            self.assertRegex(asset.name, r"^\w+\.[0-9a-f]{10}\.\w+$")
            for reference in re.findall(r"""["'(]\./([^"')]+)""", asset.read_text("utf-8")):
                self.assertTrue((asset.parent / reference).is_file(), reference)

    def test_pages_come_last(self):
        names = list(self.build(a_html="<a href='b.html'>", b_html="", z_css="", y_js=""))
        self.assertEqual(names[2:], ["a.html", "b.html"])

    def test_the_same_source_gives_the_same_site(self):
        files = {"index_html": '<link href="a.css">', "a_css": "url(b.svg)", "b_svg": "<svg/>"}
        self.assertEqual(self.build(**files), self.build(**files))

    def test_a_new_picture_renames_all_that_shows_it_and_nothing_else(self):
        files = {
            "index_html": '<link href="a.css">',
            "a_css": "url('b.svg')",
            "b_svg": "<svg/>",
            "c_js": "1",
        }
        before = self.build(**files)
        after = self.build(**files | {"b_svg": "<svg></svg>"})
        kept = [re.sub(r"\..*\.", ".", name) for name in before.keys() & after.keys()]
        self.assertCountEqual(kept, ["assets/c.js", "index.html"])
        self.assertNotEqual(before["index.html"], after["index.html"])

    def test_what_is_no_reference_stays(self):
        script = "const a = 'other.css', b = `b.css`, c = d.css; // b.css"
        self.assertIn(script, self.build(a_js=script, b_css="").values())

    def test_a_circle_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "a.js -> b.js -> a.js"):
            self.build(a_js="import './b.js'", b_js="import './a.js'")

    def test_a_build_leaves_nothing_of_the_last_one(self):
        site.write({"assets/old.js": b""}, self.folder / "dist")
        site.write({"index.html": b""}, self.folder / "dist")
        self.assertEqual([path.name for path in (self.folder / "dist").rglob("*")], ["index.html"])

    def test_notes_and_hidden_files_are_not_published(self):
        self.assertEqual(self.build(index_html="", notes_md="", _gitignore=""), {"index.html": ""})


if __name__ == "__main__":
    unittest.main()
