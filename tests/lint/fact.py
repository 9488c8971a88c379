"""What the lint tests share: a fact is checked on the tree, after it was seen to fail on a planted violation."""
import pathlib
import sys
import tempfile

SKIPPED = ("build", ".git", "subprojects", "__pycache__")


def files(root, *suffixes):
    """The project's files with one of the suffixes, without build directories."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix in suffixes and path.is_file() and not any(part.startswith(SKIPPED) for part in parts):
            yield path


def finds(check, planted, expected):
    """Whether `check` reports `expected` in a tree of the `planted` files, {path: text}."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in planted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        problems = check(root)
    if any(expected in problem for problem in problems):
        return True
    print(f"self-test: no problem says {expected!r}; found {problems}")
    return False


def main(check, plants):
    """Runs the self-tests, [(planted, expected)], then the check on the tree given as the first argument."""
    failed = sum(not finds(check, planted, expected) for planted, expected in plants)
    problems = check(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    failed += bool(problems)
    print(f"{len(plants) + 1 - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
