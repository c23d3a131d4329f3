// The matrix's program in Go, over the standard library. README.md in ../../matrix says what the lines are.
package main

import (
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var root string

func main() {
	root = os.Args[1]
	for _, name := range []string{".", "bare", "links", "names"} {
		list(name)
	}
	walk()
	for _, name := range []string{"hello.txt", "empty", "large.bin", "sub", "links/file", "links/dir"} {
		found, err := os.Stat(at(name))
		status("stat", name, found, err)
	}
	for _, name := range []string{"links/file", "links/nowhere"} {
		found, err := os.Lstat(at(name))
		status("lstat", name, found, err)
	}
	for _, name := range []string{"hello.txt", "empty", "large.bin"} {
		whole("whole", name, "")
	}
	reading()
	many()
	for _, name := range []string{"-dash", "back\\slash", "e\u0301", "with space", "ümlaut", "日本", "🦀"} {
		whole("names", "names/"+name, "")
	}
	missing()
	writing()
	list(".")
}

func succeeds(err error) {
	if err != nil {
		panic(err)
	}
}

// at returns ROOT/name. It does not clean the path, as filepath.Join does.
func at(name string) string {
	return root + "/" + name
}

func outcome(step, name string, err error) {
	if err != nil {
		fmt.Printf("%s %s: error %s\n", step, name, failure(err))
	} else {
		fmt.Printf("%s %s: done\n", step, name)
	}
}

func failure(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

func letter(kind fs.FileMode) string {
	switch kind {
	case fs.ModeDir:
		return "d"
	case 0:
		return "f"
	case fs.ModeSymlink:
		return "l"
	default:
		return "?"
	}
}

func list(name string) {
	entries, err := os.ReadDir(at(name))
	succeeds(err)
	fmt.Printf("list %s: %d\n", name, len(entries))
	for _, entry := range entries {
		fmt.Printf("list %s/%s: %s\n", name, entry.Name(), letter(entry.Type()))
	}
}

func walk() {
	succeeds(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		succeeds(err)
		if path == root {
			return nil
		}
		name := strings.TrimPrefix(path, root+"/")
		switch kind := letter(entry.Type()); kind {
		case "f":
			whole("walk", name, "f ")
		case "l":
			target, err := os.Readlink(path)
			succeeds(err)
			fmt.Printf("walk %s: l %s\n", name, target)
		default:
			fmt.Printf("walk %s: %s\n", name, kind)
		}
		return nil
	}))
}

func status(step, name string, found fs.FileInfo, err error) {
	switch {
	case err != nil:
		outcome(step, name, err)
	case found.Mode().IsRegular():
		fmt.Printf("%s %s: f %d\n", step, name, found.Size())
	default:
		fmt.Printf("%s %s: %s\n", step, name, letter(found.Mode().Type()))
	}
}

func whole(step, name, kind string) {
	content, err := os.ReadFile(at(name))
	succeeds(err)
	fmt.Printf("%s %s: %s%d %08x\n", step, name, kind, len(content), adler32.Checksum(content))
}

func reading() {
	file, err := os.Open(at("large.bin"))
	succeeds(err)
	defer file.Close()
	for _, to := range []struct {
		name   string
		whence int
		offset int64
	}{
		{"set", io.SeekStart, 262140},
		{"cur", io.SeekCurrent, 1000},
		{"end", io.SeekEnd, -4},
		{"end", io.SeekEnd, 10},
		{"set", io.SeekStart, 0},
		{"set", io.SeekStart, -1},
	} {
		position, err := file.Seek(to.offset, to.whence)
		if err != nil {
			outcome("seek", fmt.Sprint(to.name, " ", to.offset), err)
			continue
		}
		bytes, err := io.ReadAll(io.LimitReader(file, 8))
		succeeds(err)
		fmt.Printf("seek %s %d: %d %x\n", to.name, to.offset, position, bytes)
	}
	for _, offset := range []int64{0, 262140, 599996, 600000, 1000000} {
		bytes := make([]byte, 8)
		got, err := file.ReadAt(bytes, offset)
		if err != io.EOF {
			succeeds(err)
		}
		fmt.Printf("at %d: %x\n", offset, bytes[:got])
	}
}

func many() {
	var files []*os.File
	for number := 0; number < 60; number++ {
		file, err := os.Open(at(fmt.Sprintf("many/f%02d", number)))
		succeeds(err)
		files = append(files, file)
	}
	var all []byte
	for _, file := range files {
		content, err := io.ReadAll(file)
		succeeds(err)
		all = append(all, content...)
	}
	for _, file := range files {
		succeeds(file.Close())
	}
	fmt.Printf("many open: %d %08x\n", len(all), adler32.Checksum(all))
}

func absent(shown, name string) {
	outcome("missing open", shown, opens(at(name), os.O_RDONLY))
	found, err := os.Stat(at(name))
	status("missing stat", shown, found, err)
	_, err = os.ReadDir(at(name))
	outcome("missing list", shown, err)
}

func opens(path string, flags int) error {
	file, err := os.OpenFile(path, flags, 0o666)
	if err == nil {
		succeeds(file.Close())
	}
	return err
}

func missing() {
	for _, name := range []string{"absent", "sub/absent", "absent/below", "sub/../absent", "links/nowhere"} {
		absent(name, name)
	}
	absent("links/loop", "links/loop")
	absent("hello.txt/below", "hello.txt/below")
	absent("300 letters", strings.Repeat("n", 300))
	absent("not UTF-8", "\xff\xfe")
	_, err := os.ReadDir(at("hello.txt"))
	outcome("missing list", "hello.txt", err)
	_, err = os.ReadFile(at("sub"))
	outcome("missing read", "sub", err)
	_, err = os.Readlink(at("hello.txt"))
	outcome("missing readlink", "hello.txt", err)
}

func writing() {
	hello, made := at("hello.txt"), at("made")
	outcome("write", "open for writing", opens(hello, os.O_WRONLY))
	outcome("write", "open for both", opens(hello, os.O_RDWR))
	outcome("write", "open to append", opens(hello, os.O_WRONLY|os.O_APPEND))
	outcome("write", "open and truncate", opens(hello, os.O_WRONLY|os.O_TRUNC))
	outcome("write", "create", opens(made, os.O_WRONLY|os.O_CREATE))
	outcome("write", "create what is there", opens(hello, os.O_WRONLY|os.O_CREATE|os.O_TRUNC))
	outcome("write", "create new", opens(made, os.O_WRONLY|os.O_CREATE|os.O_EXCL))
	outcome("write", "create new what is there", opens(hello, os.O_WRONLY|os.O_CREATE|os.O_EXCL))
	outcome("write", "create below what is missing", opens(at("absent/made"), os.O_WRONLY|os.O_CREATE))
	outcome("write", "mkdir", os.Mkdir(made, 0o777))
	outcome("write", "mkdir what is there", os.Mkdir(at("sub"), 0o777))
	outcome("write", "remove a directory", os.Remove(at("bare")))
	outcome("write", "remove a tree", os.RemoveAll(at("sub")))
	outcome("write", "unlink", syscall.Unlink(hello))
	outcome("write", "unlink what is missing", syscall.Unlink(at("absent")))
	outcome("write", "rmdir what is missing", syscall.Rmdir(at("absent")))
	outcome("write", "rename", os.Rename(hello, made))
	outcome("write", "rename a directory", os.Rename(at("sub"), made))
	outcome("write", "rename what is missing", os.Rename(at("absent"), made))
	outcome("write", "link", os.Link(hello, made))
	outcome("write", "symlink", os.Symlink("hello.txt", made))
	outcome("write", "symlink what is there", os.Symlink("hello.txt", hello))
	outcome("write", "truncate", os.Truncate(hello, 1))
	outcome("write", "set times", os.Chtimes(hello, time.Unix(1, 0), time.Unix(1, 0)))
	file, err := os.Open(hello)
	succeeds(err)
	_, err = file.Write([]byte("x"))
	outcome("write", "write to what is open for reading", err)
	_, err = file.WriteAt([]byte("x"), 0)
	outcome("write", "pwrite to what is open for reading", err)
	outcome("write", "ftruncate what is open for reading", file.Truncate(1))
	outcome("write", "sync what is open for reading", file.Sync())
}
