// The matrix's program in AssemblyScript, by preview 1's own functions: there is no library between them and the
// program. README.md beside this file says what the lines are.

@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(list: usize, bytes: usize): u32;
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: u32, into: usize): u32;
@external("wasi_snapshot_preview1", "fd_prestat_dir_name")
declare function fd_prestat_dir_name(fd: u32, into: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(
  fd: u32, follow: u32, path: usize, size: usize, how: u32, rights: u64, inheriting: u64, flags: u32, into: usize,
): u32;
@external("wasi_snapshot_preview1", "path_filestat_get")
declare function path_filestat_get(fd: u32, follow: u32, path: usize, size: usize, into: usize): u32;
@external("wasi_snapshot_preview1", "path_filestat_set_times")
declare function path_filestat_set_times(
  fd: u32, follow: u32, path: usize, size: usize, accessed: u64, modified: u64, which: u32,
): u32;
@external("wasi_snapshot_preview1", "path_readlink")
declare function path_readlink(fd: u32, path: usize, size: usize, into: usize, most: usize, used: usize): u32;
@external("wasi_snapshot_preview1", "path_create_directory")
declare function path_create_directory(fd: u32, path: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "path_remove_directory")
declare function path_remove_directory(fd: u32, path: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "path_unlink_file")
declare function path_unlink_file(fd: u32, path: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "path_rename")
declare function path_rename(fd: u32, path: usize, size: usize, to: u32, new_path: usize, new_size: usize): u32;
@external("wasi_snapshot_preview1", "path_link")
declare function path_link(
  fd: u32, follow: u32, path: usize, size: usize, to: u32, new_path: usize, new_size: usize,
): u32;
@external("wasi_snapshot_preview1", "path_symlink")
declare function path_symlink(target: usize, target_size: usize, fd: u32, path: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "fd_readdir")
declare function fd_readdir(fd: u32, into: usize, most: usize, cookie: u64, used: usize): u32;
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: u32, list: usize, count: usize, got: usize): u32;
@external("wasi_snapshot_preview1", "fd_pread")
declare function fd_pread(fd: u32, list: usize, count: usize, offset: u64, got: usize): u32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, list: usize, count: usize, put: usize): u32;
@external("wasi_snapshot_preview1", "fd_pwrite")
declare function fd_pwrite(fd: u32, list: usize, count: usize, offset: u64, put: usize): u32;
@external("wasi_snapshot_preview1", "fd_seek")
declare function fd_seek(fd: u32, offset: i64, whence: u32, position: usize): u32;
@external("wasi_snapshot_preview1", "fd_filestat_set_size")
declare function fd_filestat_set_size(fd: u32, size: u64): u32;
@external("wasi_snapshot_preview1", "fd_filestat_set_times")
declare function fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, which: u32): u32;
@external("wasi_snapshot_preview1", "fd_allocate")
declare function fd_allocate(fd: u32, offset: u64, size: u64): u32;
@external("wasi_snapshot_preview1", "fd_sync")
declare function fd_sync(fd: u32): u32;
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: u32): u32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(status: u32): void;

// open flags, descriptor flags, rights
const CREATE: u32 = 1, DIRECTORY: u32 = 2, EXCLUSIVE: u32 = 4, TRUNCATE: u32 = 8;
const APPEND: u32 = 1;
const READ: u64 = 2 | 4 | 32 | 16384 | 2097152;
const WRITE: u64 = 64 | 256 | 4194304;

// Where the host puts what it answers: a number, a pair of address and length, a file's status.
const answer: usize = memory.data(64);
const pair: usize = memory.data(8);
const buffer: ArrayBuffer = new ArrayBuffer(65536);

let root: u32 = 0;
let text = "";

function say(line: string): void {
  text += line + "\n";
}

function flush(): void {
  const bytes = String.UTF8.encode(text);
  let from: usize = 0;
  while (from < <usize>bytes.byteLength) {
    store<usize>(pair, changetype<usize>(bytes) + from);
    store<usize>(pair, <usize>bytes.byteLength - from, 4);
    fd_write(1, pair, 1, answer);
    from += load<u32>(answer);
  }
}

function fails(what: string, name: string, code: u32): void {
  say(what + " " + name + ": error " + code.toString());
  flush();
  proc_exit(1);
}

function outcome(step: string, name: string, code: u32): void {
  say(step + " " + name + (code == 0 ? ": done" : ": error " + code.toString()));
}

function digits(value: u32, count: i32): string {
  let all = "";
  for (let i = count - 1; i >= 0; i--) all += "0123456789abcdef".charAt((value >> (i * 4)) & 15);
  return all;
}

class Path {
  bytes: ArrayBuffer;
  constructor(name: string) {
    this.bytes = String.UTF8.encode(name.length == 0 ? "." : name);
  }
  get at(): usize {
    return changetype<usize>(this.bytes);
  }
  get size(): usize {
    return <usize>this.bytes.byteLength;
  }
}

function opens(path: Path, how: u32, rights: u64, flags: u32): u32 {
  return path_open(root, 1, path.at, path.size, how, rights, rights, flags, answer);
}

// Says how opening went, and closes what is open.
function tries(step: string, name: string, path: Path, how: u32, rights: u64, flags: u32): void {
  const code = opens(path, how, rights, flags);
  outcome(step, name, code);
  if (code == 0) fd_close(load<u32>(answer));
}

function open(name: string): u32 {
  const code = opens(new Path(name), 0, READ, 0);
  if (code != 0) fails("open", name, code);
  return load<u32>(answer);
}

// Reads once; returns the length.
function reads(fd: u32, name: string, most: usize): i32 {
  store<usize>(pair, changetype<usize>(buffer));
  store<usize>(pair, most, 4);
  const code = fd_read(fd, pair, 1, answer);
  if (code != 0) fails("read", name, code);
  return load<u32>(answer);
}

class Adler {
  low: u32 = 1;
  high: u32 = 0;
  length: u32 = 0;
  drain(fd: u32, name: string): void {
    for (;;) {
      const got = reads(fd, name, 65536);
      if (got == 0) return;
      this.length += got;
      for (let i = 0; i < got; i++) {
        this.low = (this.low + load<u8>(changetype<usize>(buffer) + i)) % 65521;
        this.high = (this.high + this.low) % 65521;
      }
    }
  }
  toString(): string {
    return this.length.toString() + " " + digits((this.high << 16) | this.low, 8);
  }
}

class Entry {
  constructor(public name: string, public kind: string) {}
}

function letter(kind: u8): string {
  return kind == 3 ? "d" : kind == 4 ? "f" : kind == 7 ? "l" : "?";
}

// Orders names by their bytes.
function order(one: Entry, other: Entry): i32 {
  const a = String.UTF8.encode(one.name), b = String.UTF8.encode(other.name);
  const same = memory.compare(changetype<usize>(a), changetype<usize>(b), min(a.byteLength, b.byteLength));
  return same != 0 ? same : a.byteLength - b.byteLength;
}

// Lists a directory with the types that the listing itself gives, in order.
function entries(name: string): Entry[] {
  const all: Entry[] = [];
  const code = opens(new Path(name), DIRECTORY, READ, 0);
  if (code != 0) fails("open", name, code);
  const fd = load<u32>(answer);
  const at = changetype<usize>(buffer);
  let cookie: u64 = 0;
  for (;;) {
    const code = fd_readdir(fd, at, 65536, cookie, answer);
    if (code != 0) fails("readdir", name, code);
    const used: usize = load<u32>(answer);
    let from: usize = 0;
    // An entry that does not fit is cut off, and comes again.
    while (from + 24 <= used && from + 24 + load<u32>(at + from, 16) <= used) {
      const length = load<u32>(at + from, 16);
      cookie = load<u64>(at + from);
      const entry = String.UTF8.decodeUnsafe(at + from + 24, length);
      if (entry != "." && entry != "..") all.push(new Entry(entry, letter(load<u8>(at + from, 20))));
      from += 24 + length;
    }
    if (used < 65536) break;
  }
  fd_close(fd);
  return all.sort(order);
}

function list(name: string): void {
  const all = entries(name);
  say("list " + name + ": " + all.length.toString());
  for (let i = 0; i < all.length; i++) say("list " + name + "/" + all[i].name + ": " + all[i].kind);
}

function readlink(name: string): u32 {
  const path = new Path(name);
  return path_readlink(root, path.at, path.size, changetype<usize>(buffer), 65536, answer);
}

function walk(below: string): void {
  const all = entries(below);
  for (let i = 0; i < all.length; i++) {
    const name = below.length == 0 ? all[i].name : below + "/" + all[i].name;
    if (all[i].kind == "f") {
      whole("walk", name, "f ");
    } else if (all[i].kind == "l") {
      const code = readlink(name);
      if (code != 0) fails("readlink", name, code);
      say("walk " + name + ": l " + String.UTF8.decodeUnsafe(changetype<usize>(buffer), load<u32>(answer)));
    } else {
      say("walk " + name + ": " + all[i].kind);
      walk(name);
    }
  }
}

function status(step: string, name: string, path: Path, follow: u32): void {
  const code = path_filestat_get(root, follow, path.at, path.size, answer);
  if (code != 0) {
    outcome(step, name, code);
    return;
  }
  const kind = letter(load<u8>(answer, 16));
  say(step + " " + name + ": " + kind + (kind == "f" ? " " + load<u64>(answer, 32).toString() : ""));
}

function whole(step: string, name: string, kind: string): void {
  const fd = open(name);
  const sum = new Adler();
  sum.drain(fd, name);
  fd_close(fd);
  say(step + " " + name + ": " + kind + sum.toString());
}

function hex(length: i32): string {
  let all = "";
  for (let i = 0; i < length; i++) all += digits(load<u8>(changetype<usize>(buffer) + i), 2);
  return all;
}

function seek(fd: u32, name: string, whence: u32, offset: i64): void {
  const code = fd_seek(fd, offset, whence, answer);
  if (code != 0) {
    outcome("seek", name + " " + offset.toString(), code);
    return;
  }
  const position = load<u64>(answer);
  const bytes = hex(reads(fd, name, 8));
  say("seek " + name + " " + offset.toString() + ": " + position.toString() + " " + bytes);
}

function reading(): void {
  const fd = open("large.bin");
  seek(fd, "set", 0, 262140);
  seek(fd, "cur", 1, 1000);
  seek(fd, "end", 2, -4);
  seek(fd, "end", 2, 10);
  seek(fd, "set", 0, 0);
  seek(fd, "set", 0, -1);
  const offsets: u64[] = [0, 262140, 599996, 600000, 1000000];
  for (let i = 0; i < offsets.length; i++) {
    store<usize>(pair, changetype<usize>(buffer));
    store<usize>(pair, 8, 4);
    const code = fd_pread(fd, pair, 1, offsets[i], answer);
    if (code != 0) fails("pread", "large.bin", code);
    say("at " + offsets[i].toString() + ": " + hex(load<u32>(answer)));
  }
  fd_close(fd);
}

function many(): void {
  const files: u32[] = [];
  for (let i = 0; i < 60; i++) files.push(open("many/f" + i.toString().padStart(2, "0")));
  const sum = new Adler();
  for (let i = 0; i < 60; i++) sum.drain(files[i], "many");
  for (let i = 0; i < 60; i++) fd_close(files[i]);
  say("many open: " + sum.toString());
}

function absent(shown: string, path: Path): void {
  tries("missing open", shown, path, 0, READ, 0);
  status("missing stat", shown, path, 1);
  tries("missing list", shown, path, DIRECTORY, READ, 0);
}

function missing(): void {
  const names = ["absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere", "links/loop"];
  names.push("hello.txt/below");
  for (let i = 0; i < names.length; i++) absent(names[i], new Path(names[i]));
  absent("300 letters", new Path("n".repeat(300)));
  const path = new Path("xx");
  store<u8>(path.at, 0xff);
  store<u8>(path.at, 0xfe, 1);
  absent("not UTF-8", path);
  tries("missing list", "hello.txt", new Path("hello.txt"), DIRECTORY, READ, 0);
  const dir = open("sub");
  store<usize>(pair, changetype<usize>(buffer));
  store<usize>(pair, 1, 4);
  outcome("missing read", "sub", fd_read(dir, pair, 1, answer));
  fd_close(dir);
  outcome("missing readlink", "hello.txt", readlink("hello.txt"));
}

function writing(): void {
  const hello = new Path("hello.txt"), made = new Path("made"), sub = new Path("sub"), nothing = new Path("absent");
  tries("write", "open for writing", hello, 0, WRITE, 0);
  tries("write", "open for both", hello, 0, READ | WRITE, 0);
  tries("write", "open to append", hello, 0, WRITE, APPEND);
  tries("write", "open and truncate", hello, TRUNCATE, WRITE, 0);
  tries("write", "create", made, CREATE, WRITE, 0);
  tries("write", "create to read", made, CREATE, READ, 0);
  tries("write", "create what is there", hello, CREATE | TRUNCATE, WRITE, 0);
  tries("write", "create to read what is there", hello, CREATE, READ, 0);
  tries("write", "create new", made, CREATE | EXCLUSIVE, WRITE, 0);
  tries("write", "create new what is there", hello, CREATE | EXCLUSIVE, WRITE, 0);
  tries("write", "create below what is missing", new Path("absent/made"), CREATE, WRITE, 0);
  outcome("write", "mkdir", path_create_directory(root, made.at, made.size));
  outcome("write", "mkdir what is there", path_create_directory(root, sub.at, sub.size));
  const bare = new Path("bare");
  outcome("write", "rmdir", path_remove_directory(root, bare.at, bare.size));
  outcome("write", "rmdir what is not empty", path_remove_directory(root, sub.at, sub.size));
  outcome("write", "rmdir what is missing", path_remove_directory(root, nothing.at, nothing.size));
  outcome("write", "unlink", path_unlink_file(root, hello.at, hello.size));
  outcome("write", "unlink what is missing", path_unlink_file(root, nothing.at, nothing.size));
  outcome("write", "rename", path_rename(root, hello.at, hello.size, root, made.at, made.size));
  outcome("write", "rename a directory", path_rename(root, sub.at, sub.size, root, made.at, made.size));
  outcome("write", "rename what is missing", path_rename(root, nothing.at, nothing.size, root, made.at, made.size));
  outcome("write", "link", path_link(root, 0, hello.at, hello.size, root, made.at, made.size));
  outcome("write", "symlink", path_symlink(hello.at, hello.size, root, made.at, made.size));
  outcome("write", "symlink what is there", path_symlink(hello.at, hello.size, root, hello.at, hello.size));
  outcome("write", "set times", path_filestat_set_times(root, 1, hello.at, hello.size, 0, 0, 2 | 8));
  const fd = open("hello.txt");
  store<usize>(pair, changetype<usize>(buffer));
  store<usize>(pair, 1, 4);
  outcome("write", "write to what is open for reading", fd_write(fd, pair, 1, answer));
  outcome("write", "pwrite to what is open for reading", fd_pwrite(fd, pair, 1, 0, answer));
  outcome("write", "ftruncate what is open for reading", fd_filestat_set_size(fd, 1));
  outcome("write", "set times of what is open for reading", fd_filestat_set_times(fd, 0, 0, 2 | 8));
  outcome("write", "allocate what is open for reading", fd_allocate(fd, 0, 100));
  outcome("write", "sync what is open for reading", fd_sync(fd));
  fd_close(fd);
}

// Finds the preopened directory that the only argument lies in, and opens it.
function start(): void {
  args_sizes_get(answer, answer + 4);
  const pointers = new ArrayBuffer(4 * load<u32>(answer)), bytes = new ArrayBuffer(load<u32>(answer, 4));
  args_get(changetype<usize>(pointers), changetype<usize>(bytes));
  const path = String.UTF8.decodeUnsafe(load<u32>(changetype<usize>(pointers), 4), bytes.byteLength, true);
  for (let fd: u32 = 3; fd_prestat_get(fd, answer) == 0; fd++) {
    const size = load<u32>(answer, 4);
    fd_prestat_dir_name(fd, changetype<usize>(buffer), size);
    const name = String.UTF8.decodeUnsafe(changetype<usize>(buffer), size);
    if (!path.startsWith(name)) continue;
    root = fd;
    const below = path.substring(name.length + (path.length > name.length ? 1 : 0));
    const code = opens(new Path(below), DIRECTORY, READ, 0);
    if (code != 0) fails("open", path, code);
    root = load<u32>(answer);
    return;
  }
  fails("open", path, 0);
}

start();
list(".");
list("bare");
list("links");
list("names");
walk("");
const stats = ["hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir"];
for (let i = 0; i < stats.length; i++) status("stat", stats[i], new Path(stats[i]), 1);
status("lstat", "links/file", new Path("links/file"), 0);
status("lstat", "links/nowhere", new Path("links/nowhere"), 0);
whole("whole", "hello.txt", "");
whole("whole", "empty", "");
whole("whole", "large.bin", "");
reading();
many();
const names = ["-dash", "back\\slash", "e\u0301", "with space", "ümlaut", "日本", "🦀"];
for (let i = 0; i < names.length; i++) whole("names", "names/" + names[i], "");
missing();
writing();
list(".");
flush();
