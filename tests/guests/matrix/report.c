// The matrix's program in C, over wasi-libc: POSIX calls. README.md beside this file says what the lines are.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static const char *root;

// Returns ROOT/NAME. The memory lasts as long as the program.
static char *at(const char *name) {
    size_t size = strlen(root) + strlen(name) + 2;
    char *path = malloc(size);
    if (path == NULL) abort();
    snprintf(path, size, "%s/%s", root, name);
    return path;
}

static const char *error(void) {
    switch (errno) {
    case EACCES: return "EACCES";
    case EBADF: return "EBADF";
    case EEXIST: return "EEXIST";
    case EILSEQ: return "EILSEQ";
    case EINVAL: return "EINVAL";
    case EIO: return "EIO";
    case EISDIR: return "EISDIR";
    case ELOOP: return "ELOOP";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ENOENT: return "ENOENT";
    case ENOSYS: return "ENOSYS";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case ENOTSUP: return "ENOTSUP";
    case ENOTCAPABLE: return "ENOTCAPABLE";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    case ESPIPE: return "ESPIPE";
    case EXDEV: return "EXDEV";
    default: return strerror(errno);
    }
}

// Ends the program: a step that must succeed has failed.
static void fails(const char *what, const char *name) {
    fprintf(stderr, "%s %s: %s\n", what, name, error());
    exit(1);
}

static void outcome(const char *step, const char *name, int result) {
    if (result < 0)
        printf("%s %s: error %s\n", step, name, error());
    else
        printf("%s %s: done\n", step, name);
}

// Says how opening went, and closes what is open.
static void opens(const char *step, const char *name, const char *path, int flags) {
    int file = open(path, flags, 0666);
    outcome(step, name, file);
    if (file >= 0) close(file);
}

typedef struct { unsigned low, high; } Adler;

static void add(Adler *sum, const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        sum->low = (sum->low + bytes[i]) % 65521;
        sum->high = (sum->high + sum->low) % 65521;
    }
}

// Reads to the end; returns the length.
static size_t drain(int file, const char *name, Adler *sum) {
    static unsigned char buffer[50000];
    size_t length = 0;
    ssize_t got;
    while ((got = read(file, buffer, sizeof buffer)) > 0) {
        add(sum, buffer, got);
        length += got;
    }
    if (got < 0) fails("read", name);
    return length;
}

static void whole(const char *step, const char *name, const char *kind) {
    int file = open(at(name), O_RDONLY);
    if (file < 0) fails("open", name);
    Adler sum = {1, 0};
    size_t length = drain(file, name, &sum);
    close(file);
    printf("%s %s: %s%zu %08x\n", step, name, kind, length, sum.high << 16 | sum.low);
}

typedef struct { char *name; char kind; } Entry;

static int by_name(const void *one, const void *other) {
    return strcmp(((const Entry *)one)->name, ((const Entry *)other)->name);
}

// Lists a directory with the types that the listing itself gives, in order; returns how many.
static size_t entries(const char *path, Entry *list, size_t most) {
    DIR *dir = opendir(path);
    if (dir == NULL) fails("opendir", path);
    size_t count = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (count == most) abort();
        list[count].name = strdup(entry->d_name);
        unsigned char kind = entry->d_type;
        list[count++].kind = kind == DT_DIR ? 'd' : kind == DT_REG ? 'f' : kind == DT_LNK ? 'l' : '?';
    }
    if (errno != 0) fails("readdir", path);
    closedir(dir);
    qsort(list, count, sizeof *list, by_name);
    return count;
}

static void list(const char *name) {
    static Entry all[200];
    size_t count = entries(at(name), all, 200);
    printf("list %s: %zu\n", name, count);
    for (size_t i = 0; i < count; i++) printf("list %s/%s: %c\n", name, all[i].name, all[i].kind);
}

static void walk(const char *below) {
    Entry *all = calloc(200, sizeof *all);
    if (all == NULL) abort();
    size_t count = entries(at(below), all, 200);
    for (size_t i = 0; i < count; i++) {
        char name[1000];
        snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", all[i].name);
        if (all[i].kind == 'f') {
            whole("walk", name, "f ");
        } else if (all[i].kind == 'l') {
            char target[1000];
            ssize_t length = readlink(at(name), target, sizeof target);
            if (length < 0) fails("readlink", name);
            printf("walk %s: l %.*s\n", name, (int)length, target);
        } else {
            printf("walk %s: %c\n", name, all[i].kind);
            walk(name);
        }
    }
    free(all);
}

static void status(const char *step, const char *name, int result, const struct stat *found) {
    if (result < 0)
        printf("%s %s: error %s\n", step, name, error());
    else if (S_ISREG(found->st_mode))
        printf("%s %s: f %lld\n", step, name, (long long)found->st_size);
    else
        printf("%s %s: %c\n", step, name, S_ISDIR(found->st_mode) ? 'd' : S_ISLNK(found->st_mode) ? 'l' : '?');
}

static void follow(const char *step, const char *name, const char *path) {
    struct stat found;
    int result = stat(path, &found);
    status(step, name, result, &found);
}

static void no_follow(const char *name) {
    struct stat found;
    int result = lstat(at(name), &found);
    status("lstat", name, result, &found);
}

static void hex(const unsigned char *bytes, ssize_t length) {
    for (ssize_t i = 0; i < length; i++) printf("%02x", bytes[i]);
    printf("\n");
}

static void seek(int file, const char *name, int whence, off_t offset) {
    off_t position = lseek(file, offset, whence);
    if (position < 0) {
        printf("seek %s %lld: error %s\n", name, (long long)offset, error());
        return;
    }
    unsigned char bytes[8];
    ssize_t got = read(file, bytes, sizeof bytes);
    if (got < 0) fails("read", name);
    printf("seek %s %lld: %lld ", name, (long long)offset, (long long)position);
    hex(bytes, got);
}

static void by_position(int file, off_t offset) {
    unsigned char bytes[8];
    ssize_t got = pread(file, bytes, sizeof bytes, offset);
    if (got < 0) fails("pread", "large.bin");
    printf("at %lld: ", (long long)offset);
    hex(bytes, got);
}

static void reading(void) {
    int file = open(at("large.bin"), O_RDONLY);
    if (file < 0) fails("open", "large.bin");
    seek(file, "set", SEEK_SET, 262140);
    seek(file, "cur", SEEK_CUR, 1000);
    seek(file, "end", SEEK_END, -4);
    seek(file, "end", SEEK_END, 10);
    seek(file, "set", SEEK_SET, 0);
    seek(file, "set", SEEK_SET, -1);
    static const off_t offsets[] = {0, 262140, 599996, 600000, 1000000};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) by_position(file, offsets[i]);
    close(file);
}

static void many(void) {
    int files[60];
    for (int i = 0; i < 60; i++) {
        char name[20];
        snprintf(name, sizeof name, "many/f%02d", i);
        files[i] = open(at(name), O_RDONLY);
        if (files[i] < 0) fails("open", name);
    }
    Adler sum = {1, 0};
    size_t length = 0;
    for (int i = 0; i < 60; i++) length += drain(files[i], "many", &sum);
    for (int i = 0; i < 60; i++) close(files[i]);
    printf("many open: %zu %08x\n", length, sum.high << 16 | sum.low);
}

static void absent(const char *shown, const char *name) {
    opens("missing open", shown, at(name), O_RDONLY);
    follow("missing stat", shown, at(name));
    DIR *dir = opendir(at(name));
    outcome("missing list", shown, dir == NULL ? -1 : 0);
    if (dir != NULL) closedir(dir);
}

static void missing(void) {
    static const char *names[] = {
        "absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere", "links/loop", "hello.txt/below",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) absent(names[i], names[i]);
    char name[301];
    memset(name, 'n', 300);
    name[300] = 0;
    absent("300 letters", name);
    absent("not UTF-8", "\xff\xfe");
    outcome("missing list", "hello.txt", opendir(at("hello.txt")) == NULL ? -1 : 0);
    int dir = open(at("sub"), O_RDONLY);
    char byte;
    outcome("missing read", "sub", dir < 0 ? dir : read(dir, &byte, 1));
    outcome("missing readlink", "hello.txt", readlink(at("hello.txt"), &byte, 1));
}

static void names(void) {
    static const char *names[] = {"-dash", "back\\slash", "e\u0301", "with space", "ümlaut", "日本", "🦀"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[40];
        snprintf(name, sizeof name, "names/%s", names[i]);
        whole("names", name, "");
    }
}

static void writing(void) {
    char *hello = at("hello.txt"), *made = at("made");
    opens("write", "open for writing", hello, O_WRONLY);
    opens("write", "open for both", hello, O_RDWR);
    opens("write", "open to append", hello, O_WRONLY | O_APPEND);
    opens("write", "open and truncate", hello, O_WRONLY | O_TRUNC);
    opens("write", "create", made, O_WRONLY | O_CREAT);
    opens("write", "create what is there", hello, O_WRONLY | O_CREAT | O_TRUNC);
    opens("write", "create new", made, O_WRONLY | O_CREAT | O_EXCL);
    opens("write", "create new what is there", hello, O_WRONLY | O_CREAT | O_EXCL);
    opens("write", "create below what is missing", at("absent/made"), O_WRONLY | O_CREAT);
    outcome("write", "mkdir", mkdir(made, 0777));
    outcome("write", "mkdir what is there", mkdir(at("sub"), 0777));
    outcome("write", "rmdir", rmdir(at("bare")));
    outcome("write", "rmdir what is not empty", rmdir(at("sub")));
    outcome("write", "rmdir what is missing", rmdir(at("absent")));
    outcome("write", "unlink", unlink(hello));
    outcome("write", "unlink what is missing", unlink(at("absent")));
    outcome("write", "rename", rename(hello, made));
    outcome("write", "rename a directory", rename(at("sub"), made));
    outcome("write", "rename what is missing", rename(at("absent"), made));
    outcome("write", "link", link(hello, made));
    outcome("write", "symlink", symlink("hello.txt", made));
    outcome("write", "symlink what is there", symlink("hello.txt", hello));
    outcome("write", "truncate", truncate(hello, 1));
    outcome("write", "set times", utimensat(AT_FDCWD, hello, NULL, 0));
    int file = open(hello, O_RDONLY);
    if (file < 0) fails("open", "hello.txt");
    outcome("write", "write to what is open for reading", write(file, "x", 1));
    outcome("write", "pwrite to what is open for reading", pwrite(file, "x", 1, 0));
    outcome("write", "ftruncate what is open for reading", ftruncate(file, 1));
    outcome("write", "set times of what is open for reading", futimens(file, NULL));
    int result = posix_fallocate(file, 0, 100);
    errno = result;
    outcome("write", "allocate what is open for reading", -(result != 0));
    outcome("write", "sync what is open for reading", fsync(file));
    close(file);
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    root = arguments[1];
    list(".");
    list("bare");
    list("links");
    list("names");
    walk("");
    static const char *stats[] = {"hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir"};
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++) follow("stat", stats[i], at(stats[i]));
    no_follow("links/file");
    no_follow("links/nowhere");
    whole("whole", "hello.txt", "");
    whole("whole", "empty", "");
    whole("whole", "large.bin", "");
    reading();
    many();
    names();
    missing();
    writing();
    list(".");
    return 0;
}
