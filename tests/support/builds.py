"""Small builds as people have them, each with what it needs, and a second way to know what it
reads: change each file in turn, and compare what comes out.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

IGNORED = ".gitignore"
_COPIED = ("node_modules", "out", "build")


def rules_for(pattern: str) -> str:
    """A rules.toml with a target `all`, and one rule for it."""
    return f"""\
version = 1
[targets.all]
kind = "manual"
instructions = "deploy it"
[[rules]]
name = "All"
paths = ["{pattern}"]
deploy = ["all"]
"""


class Build(Struct, frozen=True):
    """Files, the command that builds them, and the programs that it needs. `links` are symbolic
    links, `ignored` what git ignores.
    """

    files: Mapping[str, str]
    command: tuple[str, ...]
    programs: tuple[str, ...] = ()
    links: Mapping[str, str] = {}
    ignored: tuple[str, ...] = ("out/", "node_modules")

    def missing(self) -> str | None:
        """A program that is not here; None if all are."""
        return next((name for name in self.programs if shutil.which(name) is None), None)

    def write(self, folder: Path) -> None:
        """All files of it."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for name, goal in self.links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(goal)
        (folder / IGNORED).write_text("".join(f"{name}\n" for name in self.ignored))

    @property
    def tracked(self) -> list[str]:
        """The files that git tracks."""
        ignored = tuple(name.rstrip("/") for name in self.ignored)
        names = [*self.files, *self.links]
        return [name for name in names if name.split("/")[0] not in ignored]


SOURCE = "print('x')\n"
BUILDS = {
    "make with wildcards and an include": Build(
        {
            "Makefile": (
                "include config.mk\nPAGES := $(wildcard web/*.html)\nall: out/site.html\n"
                "out/site.html: $(PAGES) web/footer.txt\n"
                "\tmkdir -p out\n\tcat $(PAGES) web/footer.txt > $@; echo $(VERSION) >> $@\n"
            ),
            "config.mk": "VERSION := 1\n",
            "web/a.html": "a\n",
            "web/b.html": "b\n",
            "web/footer.txt": "footer\n",
            "web/notes.txt": "notes\n",
            "README.md": "read me\n",
        },
        ("make", "-s"),
        ("make",),
    ),
    "a shell script in another folder": Build(
        {
            "tools/build.sh": (
                '#!/bin/sh\nset -e\ncd "$(dirname "$0")/../app"\n. ./settings.sh\n'
                'mkdir -p ../out\nsed "s/NAME/$NAME/" <../lib/template.txt >../out/page\n'
                'while read -r each; do cat "parts/$each"; done <order.txt >>../out/page\n'
            ),
            "app/settings.sh": "NAME=shop\n",
            "app/order.txt": "one\ntwo\n",
            "app/parts/one": "1\n",
            "app/parts/two": "2\n",
            "app/parts/three": "3\n",
            "lib/template.txt": "hello NAME\n",
        },
        ("sh", "tools/build.sh"),
    ),
    "Python with modules and data": Build(
        {
            "app.py": (
                "import json, os\nfrom shop import prices\n"
                "names = sorted(os.listdir('config'))\nos.makedirs('out', exist_ok=True)\n"
                "out = [prices.total(), names, json.load(open('config/queues.json'))]\n"
                "open('out/app.json', 'w').write(json.dumps(out))\n"
            ),
            "shop/__init__.py": "",
            "shop/prices.py": "from . import taxes\ndef total(): return 2 * taxes.RATE\n",
            "shop/taxes.py": "RATE = 3\n",
            "shop/unused.py": "raise SystemExit\n",
            "config/queues.json": "{}\n",
            "config/new.topic": "",
            "docs/x.md": "x\n",
        },
        ("python3", "app.py"),
        ("python3",),
    ),
    "node with require, JSON and a link between packages": Build(
        {
            "package.json": '{"name": "root", "workspaces": ["packages/*"]}\n',
            "build.js": (
                "const fs = require('fs')\nconst lib = require('@shop/lib')\n"
                "const { a } = require('./src/a')\nfs.mkdirSync('out', { recursive: true })\n"
                "fs.writeFileSync('out/o', a + lib.v + JSON.stringify(require('./data.json')))\n"
            ),
            "src/a.js": "exports.a = 1\n",
            "src/b.js": "exports.b = 1\n",
            "data.json": '{"x": 1}\n',
            "packages/lib/index.js": "exports.v = require('./value').v\n",
            "packages/lib/value.js": "exports.v = 2\n",
            "packages/lib/package.json": '{"name": "@shop/lib", "main": "index.js"}\n',
        },
        ("node", "build.js"),
        ("node",),
        {"node_modules/@shop/lib": "../../packages/lib"},
    ),
    "node with import, and a native child": Build(
        {
            "build.mjs": (
                "import fs from 'node:fs'\nimport { execFileSync } from 'node:child_process'\n"
                "import { text } from './src/text.mjs'\nfs.mkdirSync('out', { recursive: true })\n"
                "const sum = execFileSync('cksum', ['assets/logo.txt']).toString()\n"
                "const { more } = await import(`./src/${text}.mjs`)\n"
                "fs.writeFileSync('out/o', text + sum + more)\n"
            ),
            "src/text.mjs": "export const text = 'more'\n",
            "src/more.mjs": "export const more = 'more'\n",
            "src/less.mjs": "export const more = 'less'\n",
            "assets/logo.txt": "logo\n",
            "assets/old.txt": "old\n",
        },
        ("node", "build.mjs"),
        ("node", "cksum"),
    ),
    "generated code, then a build of it": Build(
        {
            "build.sh": (
                "set -e\nmkdir -p out/gen out/new\npython3 tools/generate.py schema/*.txt"
                " > out/gen/models.py\n"
                "cp app/main.py out/gen/main.py\ncd out/gen\npython3 main.py > ../new/result\n"
                "cd ..\nmv new final\ncat final/result > copy\n"
            ),
            "tools/generate.py": (
                "import sys\nfor name in sys.argv[1:]:\n"
                "    print('x_%d = %r' % (len(name), open(name).read()))\n"
            ),
            "schema/a.txt": "a\n",
            "schema/bb.txt": "bb\n",
            "schema/old.sql": "sql\n",
            "app/main.py": "import models\nprint(sorted(vars(models).items(), key=str)[-2:])\n",
            "app/other.py": SOURCE,
        },
        ("sh", "build.sh"),
        ("python3",),
    ),
    "an archive with exclusions, and links": Build(
        {
            "src/a.txt": "a\n",
            "src/deep/b.txt": "b\n",
            "src/skip.log": "log\n",
            "shared/c.txt": "c\n",
            "other.txt": "other\n",
        },
        (
            "sh",
            "-c",
            "mkdir -p out && tar --mtime=@0 --owner=0 --group=0 --mode=0644 --sort=name"
            " -chf out/a.tar --exclude='*.log' -C src .",
        ),
        ("tar",),
        {"src/link.txt": "../shared/c.txt", "src/folder": "deep"},
    ),
    "files changed in place, and a file renamed": Build(
        {
            "build.sh": (
                "set -e\nmkdir -p out\nsed -i 's/v/w/' version.txt\ncp version.txt out/v\n"
                "mv notes.txt out/notes\nmv out/notes notes.txt\ncat notes.txt >> out/v\n"
                "echo new > committed.txt\ncat committed.txt >> out/v\n"
            ),
            "version.txt": "v1\n",
            "notes.txt": "notes\n",
            "committed.txt": "made by the build\n",
            "plain.txt": "plain\n",
        },
        ("sh", "build.sh"),
        ("sed",),
    ),
    "many processes at the same time": Build(
        {
            "build.py": (
                "import os, subprocess, threading\nos.makedirs('out', exist_ok=True)\n"
                "names = [n for n in sorted(os.listdir('parts')) if n.endswith('.in')]\n"
                "def one(name):\n"
                "    text = name.replace('.in', '.txt')\n"
                "    code = 'cd parts; cat %s; cat ../lib/%s' % (name, text)\n"
                "    with open('out/' + name, 'wb') as out:\n"
                "        subprocess.run(['sh', '-c', code], stdout=out, check=True)\n"
                "threads = [threading.Thread(target=one, args=(name,)) for name in names]\n"
                "[t.start() for t in threads]\n[t.join() for t in threads]\n"
            ),
            **{f"parts/p{number}.in": f"{number}\n" for number in range(8)},
            **{f"lib/p{number}.txt": f"lib {number}\n" for number in range(8)},
            "parts/readme": "x\n",
            "lib/p99.txt": "x\n",
        },
        ("python3", "build.py"),
        ("python3",),
    ),
    "odd names": Build(
        {
            "build.sh": (
                "mkdir -p out\nfind data -type f -print0 | sort -z | xargs -0 cat > out/all\n"
            ),
            "data/with space.txt": "1\n",
            'data/quote"and\\back.txt': "2\n",
            "data/li\nne.txt": "3\n",
            'data/<angle>, "x" = 3.txt': "4\n",
            "data/ümläut-日本.txt": "5\n",
            "data/it is (deleted)": "6\n",
            "data/star*[x]{a,b}.txt": "7\n",
            "unused/x.txt": "8\n",
        },
        ("sh", "build.sh"),
        ("find", "xargs"),
    ),
    "C with headers": Build(
        {
            "main.c": '#include "lib.h"\n#include <limits.h>\nint main(void){return V;}\n',
            "include/lib.h": '#include "deep/value.h"\n',
            "include/deep/value.h": "#define V 3\n",
            "include/unused.h": "#error no\n",
            "build.sh": "mkdir -p out && cc -Iinclude -E -P main.c | tail -1 > out/main.i\n",
        },
        ("sh", "build.sh"),
        ("cc",),
    ),
}
"""By what is special about each."""


BUNDLED = {
    "esbuild": Build(
        {
            "package.json": '{"name": "shop", "sideEffects": false}\n',
            "tsconfig.json": (
                '{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}, "target": "es2020"}}\n'
            ),
            "src/main.ts": (
                "import { price } from '@lib/price'\nimport text from './text.txt'\n"
                "import './style.css'\nconsole.log(price(2), text)\n"
            ),
            "src/style.css": '@import "./colors.css";\na { color: var(--a) }\n',
            "src/colors.css": ":root { --a: red }\n",
            "src/text.txt": "hello\n",
            "src/unused.ts": "export const x = 1\n",
            "lib/price.ts": (
                "import { TAX } from './tax'\nexport const price = (n: number) => n * TAX\n"
            ),
            "lib/tax.ts": "export const TAX = 3\n",
        },
        ("node_modules/.bin/esbuild", "src/main.ts", "--bundle", "--outfile=out/main.js"),
    ),
    "tsc": Build(
        {
            "tsconfig.json": (
                '{"extends": "./base.json", "include": ["src"], "compilerOptions": '
                '{"outDir": "out", "rootDir": "src", "types": []}}\n'
            ),
            "base.json": '{"compilerOptions": {"target": "es2020", "module": "commonjs"}}\n',
            "src/a.ts": "import { b } from './deep/b'\nexport const a: number = b + 1\n",
            "src/deep/b.ts": "export const b = 1\n",
            "src/c.ts": "export const c = 1\n",
            "tests/unused.ts": "export const x = 1\n",
        },
        ("node_modules/.bin/tsc", "-p", "."),
    ),
    "vite": Build(
        {
            "index.html": '<script type="module" src="/src/main.js"></script>\n',
            "vite.config.mjs": "export default { build: { outDir: 'out', minify: false } }\n",
            "public/robots.txt": "allow\n",
            "src/main.js": (
                'import "./style.css"; const all = import.meta.glob("./pages/*.js");\n'
                'document.body.onclick = () => import("./lazy.js").then(console.log, all)\n'
            ),
            "src/style.css": "a { background: url(./logo.svg) }\n",
            "src/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'></svg>\n",
            "src/lazy.js": "export default 1\n",
            "src/pages/one.js": "export default 'one'\n",
            "src/pages/two.js": "export default 'two'\n",
            "unused/x.js": "export default 1\n",
        },
        ("node_modules/.bin/vite", "build", "--logLevel", "error"),
    ),
}
"""With the programs of a folder of packages, which stands in `node_modules`."""


def with_packages(build: Build, packages: str) -> Build:
    """The build with a link to these packages."""
    return replace(build, links={**build.links, "node_modules": packages})


def outcome(build: Build, folder: Path, env: Mapping[str, str]) -> tuple[int, dict[str, bytes]]:
    """What a build makes from the files in a folder: its exit code, and what is in `out`."""
    done = subprocess.run(
        build.command, cwd=folder, env={**os.environ, **env}, capture_output=True, timeout=60
    )
    out = folder / "out"
    made = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
    return done.returncode, {**made, "stdout": done.stdout}


def needed(build: Build, scratch: Path) -> set[str]:
    """The tracked files whose content the result depends on: each is replaced in turn, in a new
    folder, and the result compared.
    """
    # the same place for all of them, since some write their folder into what they make
    place = scratch / "place"
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(scratch / "none")}

    def result(change: str | None) -> tuple[int, dict[str, bytes]]:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        build.write(place)
        if change is not None:
            (place / change).unlink()
            (place / change).write_text("@@@ (\n")
        return outcome(build, place, env)

    plain = result(None)
    assert plain[0] == 0, plain
    assert result(None) == plain, "the build is not the same twice"
    return {path for path in build.tracked if result(path) != plain}


def picked_up(build: Build, scratch: Path) -> set[str]:
    """The folders in which one more file of a type that they have changes the result."""
    place = scratch / "place"
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(scratch / "none")}

    def result(new: str | None) -> tuple[int, dict[str, bytes]]:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        build.write(place)
        if new is not None:
            (place / new).write_text("new = 1\n")
        return outcome(build, place, env)

    plain = result(None)
    folders: set[str] = set()
    for path in build.tracked:
        folder, _, name = path.rpartition("/")
        if folder in folders or not folder:
            continue
        ending = name[name.rfind(".") :] if "." in name else ""
        if result(f"{folder}/zz-new{ending}") != plain:
            folders.add(folder)
    return folders
