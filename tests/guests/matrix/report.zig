//! The matrix's program in Zig, over its standard library without libc: it finds its preopened directory by itself.
//! README.md beside this file says what the lines are.
const std = @import("std");
const Dir = std.fs.Dir;
const File = std.fs.File;

var memory = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
const allocator = memory.allocator();
var out: *std.Io.Writer = undefined;

pub fn main() !void {
    var buffer: [4096]u8 = undefined;
    var stdout = File.stdout().writer(&buffer);
    out = &stdout.interface;
    const arguments = try std.process.argsAlloc(allocator);
    var root = try open(arguments[1]);
    try list(root, ".");
    try list(root, "bare");
    try list(root, "links");
    try list(root, "names");
    try walk(root, "");
    for ([_][]const u8{ "hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir" }) |name| {
        try stat("stat", name, root.statFile(name));
    }
    try lstat(root, "links/file");
    try lstat(root, "links/nowhere");
    for ([_][]const u8{ "hello.txt", "empty", "large.bin" }) |name| try whole(root, "whole", name, "");
    try reading(root);
    try many(root);
    for ([_][]const u8{ "-dash", "back\\slash", "e\u{301}", "with space", "ümlaut", "日本", "🦀" }) |name| {
        try whole(root, "names", try std.fmt.allocPrint(allocator, "names/{s}", .{name}), "");
    }
    try missing(root);
    try writing(root);
    try list(root, ".");
    try out.flush();
}

/// Opens ROOT from the preopened directory that it lies in.
fn open(root: []const u8) !Dir {
    const preopens = try std.fs.wasi.preopensAlloc(allocator);
    for (preopens.names, 0..) |name, number| {
        if (number < 3 or !std.mem.startsWith(u8, root, name)) continue;
        const dir = Dir{ .fd = @intCast(number) };
        const below = std.mem.trimLeft(u8, root[name.len..], "/");
        return dir.openDir(if (below.len == 0) "." else below, .{ .iterate = true });
    }
    return error.FileNotFound;
}

fn done(step: []const u8, name: []const u8, result: anytype) !void {
    if (result) |_| {
        try out.print("{s} {s}: done\n", .{ step, name });
    } else |err| {
        try out.print("{s} {s}: error {s}\n", .{ step, name, @errorName(err) });
    }
}

const Entry = struct {
    name: []const u8,
    kind: u8,

    fn before(_: void, one: Entry, other: Entry) bool {
        return std.mem.lessThan(u8, one.name, other.name);
    }
};

fn letter(kind: File.Kind) u8 {
    return switch (kind) {
        .directory => 'd',
        .file => 'f',
        .sym_link => 'l',
        else => '?',
    };
}

/// Returns a directory's entries with the types that the listing itself gives, in order.
fn entries(root: Dir, name: []const u8) ![]Entry {
    var dir = try root.openDir(if (name.len == 0) "." else name, .{ .iterate = true });
    defer dir.close();
    var all: std.ArrayList(Entry) = .empty;
    var listing = dir.iterate();
    while (try listing.next()) |entry| {
        try all.append(allocator, .{ .name = try allocator.dupe(u8, entry.name), .kind = letter(entry.kind) });
    }
    std.mem.sort(Entry, all.items, {}, Entry.before);
    return all.items;
}

fn list(root: Dir, name: []const u8) !void {
    const all = try entries(root, name);
    try out.print("list {s}: {d}\n", .{ name, all.len });
    for (all) |entry| try out.print("list {s}/{s}: {c}\n", .{ name, entry.name, entry.kind });
}

fn walk(root: Dir, below: []const u8) !void {
    for (try entries(root, below)) |entry| {
        const slash = if (below.len == 0) "" else "/";
        const name = try std.fmt.allocPrint(allocator, "{s}{s}{s}", .{ below, slash, entry.name });
        switch (entry.kind) {
            'f' => try whole(root, "walk", name, "f "),
            'l' => {
                var target: [1000]u8 = undefined;
                try out.print("walk {s}: l {s}\n", .{ name, try root.readLink(name, &target) });
            },
            else => {
                try out.print("walk {s}: {c}\n", .{ name, entry.kind });
                try walk(root, name);
            },
        }
    }
}

fn stat(step: []const u8, name: []const u8, result: anytype) !void {
    const found = result catch |err| {
        return out.print("{s} {s}: error {s}\n", .{ step, name, @errorName(err) });
    };
    if (found.kind == .file) {
        try out.print("{s} {s}: f {d}\n", .{ step, name, found.size });
    } else {
        try out.print("{s} {s}: {c}\n", .{ step, name, letter(found.kind) });
    }
}

fn lstat(root: Dir, name: []const u8) !void {
    const found = try std.posix.fstatat(root.fd, name, std.posix.AT.SYMLINK_NOFOLLOW);
    try out.print("lstat {s}: {c}\n", .{ name, letter(File.Stat.fromPosix(found).kind) });
}

fn whole(root: Dir, step: []const u8, name: []const u8, kind: []const u8) !void {
    const bytes = try root.readFileAlloc(allocator, name, 1 << 30);
    defer allocator.free(bytes);
    try out.print("{s} {s}: {s}{d} {x:0>8}\n", .{ step, name, kind, bytes.len, std.hash.Adler32.hash(bytes) });
}

fn seek(file: File, name: []const u8, offset: i64) !void {
    const moved = if (std.mem.eql(u8, name, "set"))
        std.posix.lseek_SET(file.handle, @bitCast(offset))
    else if (std.mem.eql(u8, name, "cur"))
        std.posix.lseek_CUR(file.handle, offset)
    else
        std.posix.lseek_END(file.handle, offset);
    moved catch |err| {
        return out.print("seek {s} {d}: error {s}\n", .{ name, offset, @errorName(err) });
    };
    const position = try file.getPos();
    var bytes: [8]u8 = undefined;
    const got = try file.readAll(&bytes);
    try out.print("seek {s} {d}: {d} {x}\n", .{ name, offset, position, bytes[0..got] });
}

fn reading(root: Dir) !void {
    const file = try root.openFile("large.bin", .{});
    defer file.close();
    try seek(file, "set", 262140);
    try seek(file, "cur", 1000);
    try seek(file, "end", -4);
    try seek(file, "end", 10);
    try seek(file, "set", 0);
    try seek(file, "set", -1);
    for ([_]u64{ 0, 262140, 599996, 600000, 1000000 }) |offset| {
        var bytes: [8]u8 = undefined;
        const got = try file.preadAll(&bytes, offset);
        try out.print("at {d}: {x}\n", .{ offset, bytes[0..got] });
    }
}

fn many(root: Dir) !void {
    var files: [60]File = undefined;
    for (&files, 0..) |*file, number| {
        var name: [20]u8 = undefined;
        file.* = try root.openFile(try std.fmt.bufPrint(&name, "many/f{d:0>2}", .{number}), .{});
    }
    var all: std.ArrayList(u8) = .empty;
    for (files) |file| try all.appendSlice(allocator, try file.readToEndAlloc(allocator, 1 << 20));
    for (files) |file| file.close();
    try out.print("many open: {d} {x:0>8}\n", .{ all.items.len, std.hash.Adler32.hash(all.items) });
}

fn absent(root: Dir, shown: []const u8, name: []const u8) !void {
    try done("missing open", shown, root.openFile(name, .{}));
    try stat("missing stat", shown, root.statFile(name));
    try done("missing list", shown, root.openDir(name, .{ .iterate = true }));
}

fn missing(root: Dir) !void {
    const names = .{ "absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere", "links/loop" };
    inline for (names) |name| try absent(root, name, name);
    try absent(root, "hello.txt/below", "hello.txt/below");
    try absent(root, "300 letters", "n" ** 300);
    try absent(root, "not UTF-8", "\xff\xfe");
    try done("missing list", "hello.txt", root.openDir("hello.txt", .{ .iterate = true }));
    var bytes: [8]u8 = undefined;
    const dir = try root.openFile("sub", .{});
    try done("missing read", "sub", dir.read(&bytes));
    try done("missing readlink", "hello.txt", root.readLink("hello.txt", &bytes));
}

fn writing(root: Dir) !void {
    const hello = "hello.txt";
    try done("write", "open for writing", root.openFile(hello, .{ .mode = .write_only }));
    try done("write", "open for both", root.openFile(hello, .{ .mode = .read_write }));
    try done("write", "create", root.createFile("made", .{ .truncate = false }));
    try done("write", "create what is there", root.createFile(hello, .{}));
    try done("write", "create new", root.createFile("made", .{ .exclusive = true }));
    try done("write", "create new what is there", root.createFile(hello, .{ .exclusive = true }));
    try done("write", "create below what is missing", root.createFile("absent/made", .{}));
    try done("write", "mkdir", root.makeDir("made"));
    try done("write", "mkdir what is there", root.makeDir("sub"));
    try done("write", "rmdir", root.deleteDir("bare"));
    try done("write", "rmdir what is not empty", root.deleteDir("sub"));
    try done("write", "rmdir what is missing", root.deleteDir("absent"));
    try done("write", "unlink", root.deleteFile(hello));
    try done("write", "unlink what is missing", root.deleteFile("absent"));
    try done("write", "rename", root.rename(hello, "made"));
    try done("write", "rename a directory", root.rename("sub", "made"));
    try done("write", "rename what is missing", root.rename("absent", "made"));
    try done("write", "link", std.posix.linkat(root.fd, hello, root.fd, "made", 0));
    try done("write", "symlink", root.symLink(hello, "made", .{}));
    try done("write", "symlink what is there", root.symLink(hello, hello, .{}));
    const file = try root.openFile(hello, .{});
    try done("write", "write to what is open for reading", file.write("x"));
    try done("write", "pwrite to what is open for reading", file.pwrite("x", 0));
    try done("write", "ftruncate what is open for reading", file.setEndPos(1));
    try done("write", "set times of what is open for reading", file.updateTimes(0, 0));
}
