// The matrix's program in JavaScript, over QuickJS's modules `os` and `std`. On WASI they have no way to tell a link
// from what it leads to, so links are left out. README.md beside this file says what the lines are.
import * as os from "qjs:os";
import * as std from "qjs:std";

const root = scriptArgs[1];
const at = (name) => `${root}/${name}`;
const say = (line) => std.out.puts(line + "\n");

// A call's result is a number below zero if it failed, or has the error's number beside it.
const failure = (error) => `error ${error}`;

function outcome(step, name, result) {
  say(`${step} ${name}: ${result < 0 ? failure(-result) : "done"}`);
}

function succeeds(what, [result, error]) {
  if (error !== 0) throw new Error(`${what}: ${failure(error)}`);
  return result;
}

function open(name) {
  const file = os.open(at(name), os.O_RDONLY);
  if (file < 0) throw new Error(`${name}: ${failure(-file)}`);
  return file;
}

function opens(step, name, path, flags) {
  const file = os.open(path, flags, 0o666);
  outcome(step, name, file);
  if (file >= 0) os.close(file);
}

function adler(bytes) {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return hex([high >> 8, high & 255, low >> 8, low & 255]);
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function letter(found) {
  switch (found.mode & os.S_IFMT) {
    case os.S_IFDIR: return "d";
    case os.S_IFREG: return "f";
    default: return "?";
  }
}

// Orders names by their bytes, which is the order of code points.
function order(one, other) {
  const [a, b] = [Array.from(one), Array.from(other)];
  const differs = a.findIndex((point, index) => point !== b[index]);
  if (differs < 0) return a.length - b.length;
  return differs < b.length ? a[differs].codePointAt(0) - b[differs].codePointAt(0) : 1;
}

function names(path) {
  return succeeds(path, os.readdir(path)).filter((name) => name !== "." && name !== "..").sort(order);
}

function list(dir) {
  const found = names(at(dir));
  say(`list ${dir}: ${found.length}`);
  if (dir === "links") return;
  for (const name of found) say(`list ${dir}/${name}: ${letter(succeeds(name, os.stat(at(`${dir}/${name}`))))}`);
}

function walk(below) {
  for (const entry of names(at(below))) {
    const name = below === "" ? entry : `${below}/${entry}`;
    const kind = letter(succeeds(name, os.stat(at(name))));
    if (kind === "f") {
      whole("walk", name, "f ");
    } else {
      say(`walk ${name}: ${kind}`);
      if (name !== "links") walk(name);
    }
  }
}

function stat(step, name, path) {
  const [found, error] = os.stat(path);
  if (error !== 0) return say(`${step} ${name}: ${failure(error)}`);
  const kind = letter(found);
  say(`${step} ${name}: ${kind}${kind === "f" ? ` ${found.size}` : ""}`);
}

function whole(step, name, kind) {
  const bytes = std.loadFile(at(name), { binary: true });
  if (bytes === null) throw new Error(name);
  say(`${step} ${name}: ${kind}${bytes.length} ${adler(bytes)}`);
}

// Reads at most this many bytes.
function read(file, most) {
  const buffer = new ArrayBuffer(most);
  const got = os.read(file, buffer, 0, most);
  if (got < 0) throw new Error(failure(-got));
  return new Uint8Array(buffer, 0, got);
}

function reading() {
  const file = open("large.bin");
  const whence = { set: std.SEEK_SET, cur: std.SEEK_CUR, end: std.SEEK_END };
  for (const [name, offset] of [["set", 262140], ["cur", 1000], ["end", -4], ["end", 10], ["set", 0], ["set", -1]]) {
    const position = os.seek(file, offset, whence[name]);
    if (position < 0) outcome("seek", `${name} ${offset}`, position);
    else say(`seek ${name} ${offset}: ${position} ${hex(read(file, 8))}`);
  }
  // There are no reads at offsets, so each is a seek and a read.
  for (const offset of [0, 262140, 599996, 600000, 1000000]) {
    os.seek(file, offset, std.SEEK_SET);
    say(`at ${offset}: ${hex(read(file, 8))}`);
  }
  os.close(file);
}

function many() {
  const files = Array.from({ length: 60 }, (_, number) => open(`many/f${String(number).padStart(2, "0")}`));
  const all = files.flatMap((file) => Array.from(read(file, 1000)));
  for (const file of files) os.close(file);
  say(`many open: ${all.length} ${adler(all)}`);
}

function absent(shown, path) {
  opens("missing open", shown, path, os.O_RDONLY);
  stat("missing stat", shown, path);
  outcome("missing list", shown, -os.readdir(path)[1]);
}

function missing() {
  for (const name of ["absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere", "links/loop"]) {
    absent(name, at(name));
  }
  absent("hello.txt/below", at("hello.txt/below"));
  absent("300 letters", at("n".repeat(300)));
  // Half of a pair: its bytes are not UTF-8.
  absent("not UTF-8", at("\ud800"));
  outcome("missing list", "hello.txt", -os.readdir(at("hello.txt"))[1]);
  outcome("missing read", "sub", os.read(open("sub"), new ArrayBuffer(1), 0, 1));
}

function writing() {
  const [hello, made] = [at("hello.txt"), at("made")];
  const write = (name, result) => outcome("write", name, result);
  opens("write", "open for writing", hello, os.O_WRONLY);
  opens("write", "open for both", hello, os.O_RDWR);
  opens("write", "open to append", hello, os.O_WRONLY | os.O_APPEND);
  opens("write", "open and truncate", hello, os.O_WRONLY | os.O_TRUNC);
  opens("write", "create", made, os.O_WRONLY | os.O_CREAT);
  opens("write", "create what is there", hello, os.O_WRONLY | os.O_CREAT | os.O_TRUNC);
  opens("write", "create new", made, os.O_WRONLY | os.O_CREAT | os.O_EXCL);
  opens("write", "create new what is there", hello, os.O_WRONLY | os.O_CREAT | os.O_EXCL);
  opens("write", "create below what is missing", at("absent/made"), os.O_WRONLY | os.O_CREAT);
  write("mkdir", os.mkdir(made, 0o777));
  write("mkdir what is there", os.mkdir(at("sub"), 0o777));
  write("remove a file", os.remove(hello));
  write("remove a directory", os.remove(at("bare")));
  write("remove what is missing", os.remove(at("absent")));
  write("rename", os.rename(hello, made));
  write("rename a directory", os.rename(at("sub"), made));
  write("rename what is missing", os.rename(at("absent"), made));
  write("set times", os.utimes(hello, 1, 1));
  const file = open("hello.txt");
  write("write to what is open for reading", os.write(file, new ArrayBuffer(1), 0, 1));
  os.close(file);
}

for (const name of [".", "bare", "links", "names"]) list(name);
walk("");
for (const name of ["hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir"]) stat("stat", name, at(name));
for (const name of ["hello.txt", "empty", "large.bin"]) whole("whole", name, "");
reading();
many();
for (const name of ["-dash", "back\\slash", "e\u0301", "with space", "ümlaut", "日本", "🦀"]) {
  whole("names", `names/${name}`, "");
}
missing();
writing();
list(".");
