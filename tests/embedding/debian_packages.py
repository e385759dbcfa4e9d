"""Makes the Debian packages of a build, installs them below a temporary folder, runs the command from
there and builds a program against the library there: debian_packages.py --build DIR --cpack CPACK ...
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from installed_copy import EXPECTED, HERE, check_headers, run

DUE = {
    "tailrace": {
        "usr/bin/tailrace",
        "usr/share/man/man1/tailrace.1",
        "usr/share/bash-completion/completions/tailrace",
        "usr/share/zsh/vendor-completions/_tailrace",
        "usr/share/fish/vendor_completions.d/tailrace.fish",
        "usr/share/doc/tailrace/copyright",
    },
    "libtailrace-dev": {
        "usr/lib/libtailrace.a",
        "usr/lib/pkgconfig/tailrace.pc",
        "usr/lib/cmake/tailrace/tailrace-config.cmake",
        "usr/lib/cmake/tailrace/tailrace-config-version.cmake",
        "usr/lib/cmake/tailrace/tailrace-targets.cmake",
        "usr/share/doc/libtailrace-dev/copyright",
    },
}
# One for each build type, and the public headers, which have a check of their own.
ALSO = re.compile(r"usr/lib/cmake/tailrace/tailrace-targets-\w+\.cmake|usr/include/tailrace/.*\.h")
NEEDED = {
    "tailrace": ["libc6", "libfmt", "libprotobuf", "librocksdb", "libxxhash"],
    "libtailrace-dev": ["libprotobuf-dev", "librocksdb-dev", "libxxhash-dev"],
}


def check_package(deb):
    name = run("dpkg-deb", "--field", deb, "Package").strip()
    listed = run("dpkg-deb", "--contents", deb).splitlines()
    for line in listed:
        mode, owner = line.split()[:2]
        if owner != "root/root" or "w" in mode[4:]:
            sys.exit(f"{deb.name}: not root's alone to write: {line}")
    files = {line.split(maxsplit=5)[5].removeprefix("./") for line in listed if line[0] != "d"}
    if missing := DUE[name] - files:
        sys.exit(f"{deb.name}: without {missing}")
    if extra := {file for file in files - DUE[name] if not ALSO.fullmatch(file)}:
        sys.exit(f"{deb.name}: also has {extra}")
    depends = run("dpkg-deb", "--field", deb, "Depends")
    for library in NEEDED[name]:
        if library not in depends:
            sys.exit(f"{deb.name}: does not depend on {library}: {depends}")
    return name


def install(debs, root):
    """Installs into `root` as dpkg does, or unpacks when that is not allowed."""
    if os.geteuid() != 0:
        for deb in debs:
            run("dpkg-deb", "--extract", deb, root)
        return
    for folder in ("info", "updates"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    run("dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--log=/dev/null",
        "--install", *debs)
    run("dpkg", f"--root={root}", "--force-depends", "--verify")


def use_command(root):
    tailrace = root / "usr/bin/tailrace"
    if b".debug_info" in tailrace.read_bytes():
        sys.exit("the command has its debug information with it")
    store = root / "store"
    run(tailrace, "--store", store, "tables", "create", "Games", "--key", "id:N", "--stream",
        "NEW_IMAGE")
    run(tailrace, "--store", store, "put", "Games", "id=1", "user=ada")
    if "ada" not in run(tailrace, "--store", store, "dump", "Games"):
        sys.exit("the packaged command shows no change record")
    page = (root / "usr/share/man/man1/tailrace.1").read_text()
    if page != run(tailrace, "man"):
        sys.exit("the manual page is not the command's")


def use_library(root, compiler):
    check_headers(root / "usr")
    environment = os.environ | {"PKG_CONFIG_PATH": str(root / "usr/lib/pkgconfig")}
    said = run("pkg-config", "--cflags", "--libs", "tailrace", env=environment)
    program = root / "program"
    run(compiler, "-std=c++20", HERE / "installed" / "program.cc", "-o", program,
        *shlex.split(said))
    printed = run(program, root / "program-store")
    if printed != EXPECTED:
        sys.exit(f"the program printed\n{printed}instead of\n{EXPECTED}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--cpack", required=True)
    parser.add_argument("--compiler", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-packages-") as directory:
        scratch = pathlib.Path(directory)
        run(arguments.cpack, "--config", f"{arguments.build}/CPackConfig.cmake", "-B",
            scratch / "made")
        debs = sorted((scratch / "made").glob("*.deb"))
        if {check_package(deb) for deb in debs} != set(DUE):
            sys.exit(f"these packages were made: {debs}")
        root = scratch / "root"
        root.mkdir()
        install(debs, root)
        use_command(root)
        use_library(root, arguments.compiler)


if __name__ == "__main__":
    main()
