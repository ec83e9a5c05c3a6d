"""Lines of strace -> lookups: each trap that loses a file."""

from collections.abc import Iterable

import pytest

from toolkit.observed.strace import Strace
from toolkit.operations import Lookup, LookupKind

START = "/repo"


def lookups(*lines: str | bytes) -> list[Lookup]:
    strace = Strace(START)
    result: list[Lookup] = []
    for line in lines:
        result += strace.lookups(line.encode() if isinstance(line, str) else line)
    assert strace.unread == 0
    return [*result, *strace.rest()]


def seen(lines: Iterable[Lookup]) -> list[tuple[LookupKind, str]]:
    return [(lookup.kind, lookup.path) for lookup in lines]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('1 openat(AT_FDCWD</repo>, "a", O_RDONLY|O_CLOEXEC) = 3</repo/a>', ("opened", "/repo/a")),
        ('1 openat(AT_FDCWD</repo/x>, "../a", O_RDONLY) = 3</repo/a>', ("opened", "/repo/a")),
        ('1 openat(AT_FDCWD, "a", O_RDONLY) = 3</repo/a>', ("opened", "/repo/a")),
        ('1 openat(5</repo/x>, "a", O_RDONLY) = 3</repo/x/a>', ("opened", "/repo/x/a")),
        ('1 open("/repo/a", O_RDONLY) = 3</repo/a>', ("opened", "/repo/a")),
        ('1 openat(AT_FDCWD</repo>, "l", O_RDONLY) = 3</other/goal>', ("opened", "/other/goal")),
        (
            '1 openat2(AT_FDCWD</repo>, "a", {flags=O_RDONLY, resolve=0}, 24) = 3</repo/a>',
            ("opened", "/repo/a"),
        ),
        ('1 creat("/repo/a", 0644) = 3</repo/a>', ("written", "/repo/a")),
        (
            '1 openat(AT_FDCWD</repo>, "a", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</repo/a>',
            ("written", "/repo/a"),
        ),
        (
            '1 openat(AT_FDCWD</repo>, "a", O_WRONLY|O_CREAT|O_APPEND, 0666) = 3</repo/a>',
            ("appended", "/repo/a"),
        ),
        (
            '1 openat(AT_FDCWD</repo>, "a", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</repo/a>',
            ("written", "/repo/a"),
        ),
        ("1 getdents64(3</repo/x>, 0x55 /* 3 entries */, 32768) = 80", ("listed", "/repo/x")),
        (
            '1 openat(AT_FDCWD</repo>, "no", O_RDONLY) = -1 ENOENT (No such file or directory)',
            ("missing", "/repo/no"),
        ),
        (
            '1 newfstatat(AT_FDCWD</repo/x>, "../no", 0x7, 0) = -1 ENOENT (No such file or ...)',
            ("missing", "/repo/x/../no"),
        ),
        (
            '1 statx(AT_FDCWD</repo>, "/repo/a", AT_STATX, STATX_ALL, {stx_mask=0}) = 0',
            ("checked", "/repo/a"),
        ),
        ('1 access("/repo/a", R_OK) = 0', ("checked", "/repo/a")),
        ('1 readlink("/repo/l", "a", 4095) = 1', ("checked", "/repo/l")),
        (
            '1 execve("/repo/build.sh", ["./build.sh"], 0x7 /* 3 vars */) = 0',
            ("ran", "/repo/build.sh"),
        ),
        ('1 mkdir("/repo/out", 0777) = 0', ("folder", "/repo/out")),
        ('1 symlink("goal", "/repo/out") = 0', ("written", "/repo/out")),
        ('1 symlinkat("goal", AT_FDCWD</repo>, "out") = 0', ("written", "/repo/out")),
    ],
)
def test_a_call_is_a_lookup(line: str, expected: tuple[str, str]) -> None:
    assert seen(lookups(line)) == [(LookupKind(expected[0]), expected[1])]


@pytest.mark.parametrize(
    "line",
    [
        '1 openat(AT_FDCWD</repo>, "a", O_RDONLY) = -1 EACCES (Permission denied)',
        '1 openat(AT_FDCWD</repo>, "new", O_WRONLY|O_CREAT, 0644) = -1 ENOENT (No such file)',
        '1 openat(AT_FDCWD</repo>, "a", O_RDONLY|O_PATH) = 3</repo/a>',
        '1 openat(AT_FDCWD</repo>, "x", O_RDONLY|O_DIRECTORY) = 3</repo/x>',
        '1 newfstatat(3</repo/a>, "", {st_mode=S_IFREG|0644, ...}, AT_EMPTY_PATH) = 0',
        "1 getdents64(3</repo/x>, 0x55 /* 0 entries */, 32768) = 0",
        '1 access("/repo/a/b", R_OK) = -1 ENOTDIR (Not a directory)',
        "1 +++ exited with 0 +++",
        "1 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---",
        "1 fchdir(3</repo/x>) = 0",
    ],
)
def test_what_reads_nothing_is_no_lookup(line: str) -> None:
    assert lookups(line) == []


def test_a_call_in_two_lines_is_joined_by_process() -> None:
    result = lookups(
        '1 openat(AT_FDCWD</repo>, "a", O_RDONLY <unfinished ...>',
        '2 openat(AT_FDCWD</repo>, "b", O_RDONLY <unfinished ...>',
        "1 <... openat resumed>) = 3</repo/a>",
        '1 openat(AT_FDCWD</repo>, "c", O_RDONLY) = 4</repo/c>',
        "2 <... openat resumed>) = 3</repo/b>",
    )
    assert [(each.path, each.began, each.ended) for each in result] == [
        ("/repo/a", 1, 3),
        ("/repo/c", 4, 4),
        ("/repo/b", 2, 5),
    ]


def test_the_end_of_a_process_in_a_call_loses_nothing_else() -> None:
    assert seen(
        lookups(
            '1 openat(AT_FDCWD</repo>, "a", O_RDONLY <unfinished ...>',
            "1 +++ killed by SIGKILL +++",
            '2 openat(AT_FDCWD</repo>, "b", O_RDONLY) = 3</repo/b>',
        )
    ) == [(LookupKind.OPENED, "/repo/b")]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (rb"with space", "with space"),
        (rb"quote\"and\\back", 'quote"and\\back'),
        (rb"line\nend", "line\nend"),
        (rb"\303\274ml", "üml"),
        (rb"\xfc\tx", "\udcfc\tx"),
        (b"raw\xfc", "raw\udcfc"),
        (rb"\74x\76", "<x>"),
        (rb"x) = 3 (deleted)", "x) = 3 (deleted)"),
        (rb"a\", O_WRONLY) = 5", 'a", O_WRONLY) = 5'),
        (rb"\0011", "\0011"),
    ],
)
def test_a_name_is_what_the_program_has_written(written: bytes, name: str) -> None:
    line = b'1 openat(AT_FDCWD</repo>, "%s", O_RDONLY) = 3</repo/%s>' % (written, written)
    assert seen(lookups(line)) == [(LookupKind.OPENED, f"/repo/{name}")]


@pytest.mark.parametrize("result", ["3</repo/a>(deleted)", "3</repo/a (deleted)>"])
def test_a_file_that_was_deleted_after_it_was_opened_keeps_its_name(result: str) -> None:
    line = f'1 openat(AT_FDCWD</repo>, "a", O_RDONLY) = {result}'
    assert seen(lookups(line)) == [(LookupKind.OPENED, "/repo/a")]


def test_a_relative_name_is_followed_through_folders_and_children() -> None:
    """As older versions of strace write it: without the folder."""
    assert seen(
        lookups(
            '1 chdir("sub") = 0',
            "1 vfork( <unfinished ...>",
            '2 access("a", R_OK) = 0',  # the parent's line comes later
            "1 <... vfork resumed>) = 2",
            '2 chdir("deep") = 0',
            '2 access("b", R_OK) = 0',
            '1 access("c", R_OK) = 0',
            "1 clone(child_stack=0x7, flags=CLONE_VM|CLONE_FS|CLONE_THREAD) = 3",
            '3 chdir("/repo/other") = 0',
            '1 access("d", R_OK) = 0',
        )
    ) == [
        (LookupKind.CHECKED, "/repo/sub/a"),
        (LookupKind.CHECKED, "/repo/sub/deep/b"),
        (LookupKind.CHECKED, "/repo/sub/c"),
        (LookupKind.CHECKED, "/repo/other/d"),
    ]


def test_a_program_in_a_child_is_in_the_folder_of_its_next_call() -> None:
    assert seen(
        lookups(
            '1 openat(AT_FDCWD</repo>, "a", O_RDONLY) = 3</repo/a>',
            '2 execve("./run", ["./run"], 0x7 /* 1 var */) = 0',
            '2 openat(AT_FDCWD</repo/x>, "/lib/libc.so", O_RDONLY) = 3</lib/libc.so>',
        )
    ) == [
        (LookupKind.OPENED, "/repo/a"),
        (LookupKind.OPENED, "/lib/libc.so"),
        (LookupKind.RAN, "/repo/x/./run"),
    ]


def test_a_file_that_is_moved_or_linked_has_both_names() -> None:
    result = lookups(
        '1 rename("/repo/a", "/repo/b") = 0',
        '1 renameat2(AT_FDCWD</repo/x>, "a", AT_FDCWD</repo/x>, "b", RENAME_NOREPLACE) = 0',
        '1 linkat(AT_FDCWD</repo>, "a", 4</repo/y>, "b", 0) = 0',
        '1 rename("/repo/a", "/repo/c") = -1 EXDEV (Invalid cross-device link)',
    )
    assert [(each.kind, each.path, each.to) for each in result] == [
        (LookupKind.MOVED, "/repo/a", "/repo/b"),
        (LookupKind.MOVED, "/repo/x/a", "/repo/x/b"),
        (LookupKind.LINKED, "/repo/a", "/repo/y/b"),
    ]


def test_a_ring_by_which_files_may_be_opened_is_counted() -> None:
    strace = Strace(START)
    for line in (
        "1 io_uring_setup(8, {flags=0, sq_entries=8}) = 5<anon_inode:[io_uring]>",
        "1 io_uring_setup(8, {flags=0}) = -1 EPERM (Operation not permitted)",
    ):
        assert list(strace.lookups(line.encode())) == []
    assert (strace.rings, strace.unread) == (1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "what is this",
        "1 openat(something else) = 3",
        '1 openat(AT_FDCWD</repo>, "cut...',
        "1 <... openat resumed>) = 3</repo/a>",
    ],
)
def test_a_line_that_cannot_be_read_is_counted(line: str) -> None:
    strace = Strace(START)
    assert list(strace.lookups(line.encode())) == []
    assert strace.unread == 1


CHECKED = '2 stat("b.txt", 0x7) = -1 ENOENT (No such file or directory)'


@pytest.mark.parametrize(
    ("child", "is_told", "paths", "unread"),
    [
        ([], True, [], 0),
        ([], False, [], 0),
        ([CHECKED], True, ["/repo/sub/b.txt"], 0),
        ([CHECKED], False, ["/repo/b.txt"], 1),
        ([CHECKED, '2 chdir("/repo/x") = 0', CHECKED], True, ["/repo/b.txt", "/repo/x/b.txt"], 1),
        (['2 chdir("x") = 0', CHECKED], True, ["/repo/b.txt"], 1),
        ([CHECKED.replace("b.txt", "/etc/b")], True, ["/etc/b"], 0),
        ([CHECKED.replace("b.txt", "/etc/b")], False, ["/etc/b"], 0),
    ],
)
def test_a_child_that_ends_before_its_fork_is_told_has_looked_in_its_parents_folder(
    child: list[str], is_told: bool, paths: list[str], unread: int
) -> None:
    """What it looked up in a folder that nothing tells is not read, and that is said."""
    strace = Strace("/repo")
    lines = [
        '1 chdir("sub") = 0',
        "1 vfork( <unfinished ...>",
        *child,
        "2 +++ exited with 0 +++",
        *(["1 <... vfork resumed>) = 2"] if is_told else []),
        "1 +++ exited with 0 +++",
    ]
    lookups = [lookup for line in lines for lookup in strace.lookups(line.encode())]
    lookups += strace.rest()
    assert not strace.processes
    assert [lookup.path for lookup in lookups] == paths
    assert strace.unread == unread


def test_a_child_that_went_on_before_its_fork_is_told_is_not_in_its_parents_folder() -> None:
    strace = Strace("/repo")
    lines = [
        "1 vfork( <unfinished ...>",
        '2 chdir("x") = 0',
        '2 execve("./tool", 0x7) = 0',
        "1 <... vfork resumed>) = 2",
        CHECKED,
        '2 openat(AT_FDCWD</repo/x>, "a", O_RDONLY) = 3</repo/x/a>',
    ]
    lookups = [lookup for line in lines for lookup in strace.lookups(line.encode())]
    assert {lookup.path for lookup in lookups} >= {"/repo/x/b.txt", "/repo/x/a"}
