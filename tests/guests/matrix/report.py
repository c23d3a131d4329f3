"""The matrix's program in Python. README.md beside this file says what the lines are."""

import errno
import os
import stat
import sys


def at(name):
    return f"{root}/{name}"


def outcome(step, name, call):
    try:
        call()
        print(f"{step} {name}: done")
    except OSError as error:
        print(f"{step} {name}: {failure(error)}")


def failure(error):
    return "error " + errno.errorcode.get(error.errno, str(error.errno))


def adler(content):
    low, high = 1, 0
    for byte in content:
        low = (low + byte) % 65521
        high = (high + low) % 65521
    return f"{high << 16 | low:08x}"


def letter(is_dir, is_file, is_link):
    return "l" if is_link else "d" if is_dir else "f" if is_file else "?"


def entries(path):
    """Returns a directory's entries with the types that the listing itself gives, in order."""
    with os.scandir(path) as listing:
        kinds = {
            entry.name: letter(
                entry.is_dir(follow_symlinks=False),
                entry.is_file(follow_symlinks=False),
                entry.is_symlink(),
            )
            for entry in listing
        }
    return sorted(kinds.items(), key=lambda entry: os.fsencode(entry[0]))


def listed(name):
    found = entries(at(name))
    print(f"list {name}: {len(found)}")
    for entry, kind in found:
        print(f"list {name}/{entry}: {kind}")


def walk(below):
    for entry, kind in entries(at(below)):
        name = f"{below}/{entry}" if below else entry
        if kind == "f":
            whole("walk", name, "f ")
        elif kind == "l":
            print(f"walk {name}: l {os.readlink(at(name))}")
        else:
            print(f"walk {name}: {kind}")
            walk(name)


def status(step, name, call):
    try:
        found = call()
    except OSError as error:
        print(f"{step} {name}: {failure(error)}")
        return
    mode = found.st_mode
    kind = letter(stat.S_ISDIR(mode), stat.S_ISREG(mode), stat.S_ISLNK(mode))
    print(f"{step} {name}: {kind}" + (f" {found.st_size}" if kind == "f" else ""))


def whole(step, name, kind):
    with open(at(name), "rb") as file:
        content = file.read()
    print(f"{step} {name}: {kind}{len(content)} {adler(content)}")


def seek(file, name, offset):
    whence = {"set": os.SEEK_SET, "cur": os.SEEK_CUR, "end": os.SEEK_END}[name]
    try:
        position = os.lseek(file, offset, whence)
        print(f"seek {name} {offset}: {position} {os.read(file, 8).hex()}")
    except OSError as error:
        print(f"seek {name} {offset}: {failure(error)}")


def reading():
    file = os.open(at("large.bin"), os.O_RDONLY)
    for name, offset in [("set", 262140), ("cur", 1000), ("end", -4), ("end", 10), ("set", 0), ("set", -1)]:
        seek(file, name, offset)
    for offset in [0, 262140, 599996, 600000, 1000000]:
        print(f"at {offset}: {os.pread(file, 8, offset).hex()}")
    os.close(file)


def many():
    files = [open(at(f"many/f{number:02}"), "rb") for number in range(60)]
    content = b"".join(file.read() for file in files)
    for file in files:
        file.close()
    print(f"many open: {len(content)} {adler(content)}")


def opens(path, flags):
    os.close(os.open(path, flags, 0o666))


def absent(shown, path):
    outcome("missing open", shown, lambda: opens(path, os.O_RDONLY))
    status("missing stat", shown, lambda: os.stat(path))
    outcome("missing list", shown, lambda: os.listdir(path))


def missing():
    for name in ["absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere", "links/loop"]:
        absent(name, at(name))
    absent("hello.txt/below", at("hello.txt/below"))
    absent("300 letters", at("n" * 300))
    absent("not UTF-8", os.fsencode(root) + b"/\xff\xfe")
    outcome("missing list", "hello.txt", lambda: os.listdir(at("hello.txt")))
    outcome("missing read", "sub", lambda: os.read(os.open(at("sub"), os.O_RDONLY), 1))
    outcome("missing readlink", "hello.txt", lambda: os.readlink(at("hello.txt")))


def writing():
    hello, made = at("hello.txt"), at("made")

    def write(name, call):
        outcome("write", name, call)

    write("open for writing", lambda: opens(hello, os.O_WRONLY))
    write("open for both", lambda: opens(hello, os.O_RDWR))
    write("open to append", lambda: opens(hello, os.O_WRONLY | os.O_APPEND))
    write("open and truncate", lambda: opens(hello, os.O_WRONLY | os.O_TRUNC))
    write("create", lambda: opens(made, os.O_WRONLY | os.O_CREAT))
    write("create what is there", lambda: open(hello, "wb"))
    write("create new", lambda: open(made, "xb"))
    write("create new what is there", lambda: open(hello, "xb"))
    write("create below what is missing", lambda: open(at("absent/made"), "wb"))
    write("mkdir", lambda: os.mkdir(made))
    write("mkdir what is there", lambda: os.mkdir(at("sub")))
    write("rmdir", lambda: os.rmdir(at("bare")))
    write("rmdir what is not empty", lambda: os.rmdir(at("sub")))
    write("rmdir what is missing", lambda: os.rmdir(at("absent")))
    write("unlink", lambda: os.unlink(hello))
    write("unlink what is missing", lambda: os.unlink(at("absent")))
    write("rename", lambda: os.rename(hello, made))
    write("rename a directory", lambda: os.rename(at("sub"), made))
    write("rename what is missing", lambda: os.rename(at("absent"), made))
    write("link", lambda: os.link(hello, made))
    write("symlink", lambda: os.symlink("hello.txt", made))
    write("symlink what is there", lambda: os.symlink("hello.txt", hello))
    write("truncate", lambda: os.truncate(hello, 1))
    write("set times", lambda: os.utime(hello))
    file = os.open(hello, os.O_RDONLY)
    write("write to what is open for reading", lambda: os.write(file, b"x"))
    write("pwrite to what is open for reading", lambda: os.pwrite(file, b"x", 0))
    write("ftruncate what is open for reading", lambda: os.ftruncate(file, 1))
    write("set times of what is open for reading", lambda: os.utime(file))
    if hasattr(os, "posix_fallocate"):
        write("allocate what is open for reading", lambda: os.posix_fallocate(file, 0, 100))
    write("sync what is open for reading", lambda: os.fsync(file))


root = sys.argv[1]
for name in [".", "bare", "links", "names"]:
    listed(name)
walk("")
for name in ["hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir"]:
    status("stat", name, lambda: os.stat(at(name)))
for name in ["links/file", "links/nowhere"]:
    status("lstat", name, lambda: os.lstat(at(name)))
for name in ["hello.txt", "empty", "large.bin"]:
    whole("whole", name, "")
reading()
many()
for name in ["-dash", "back\\slash", "e\u0301", "with space", "ümlaut", "日本", "🦀"]:
    whole("names", "names/" + name, "")
missing()
writing()
listed(".")
