// An ordinary Go program: it reads files whole, walks a tree, and keeps many files open. It prints the same for the same
// content, wherever that lies.
//
// Arguments, one of:
//   - read DIR: reads every file of DIR in the usual ways, all in one process
//   - walk DIR: prints every entry below DIR
//   - open N DIR: keeps N files open, those of DIR over and over, and reads each
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

func main() {
	switch arguments := os.Args[1:]; arguments[0] {
	case "read":
		read(arguments[1])
	case "walk":
		walk(arguments[1])
	case "open":
		count, err := strconv.Atoi(arguments[1])
		succeeds(err)
		open(count, arguments[2])
	default:
		panic(arguments[0])
	}
}

func succeeds(err error) {
	if err != nil {
		panic(err)
	}
}

func digest(content []byte) uint64 {
	hash := fnv.New64a()
	hash.Write(content)
	return hash.Sum64()
}

// names returns the paths of a directory's entries, in order.
func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	succeeds(err)
	var paths []string
	for _, entry := range entries {
		paths = append(paths, filepath.Join(dir, entry.Name()))
	}
	return paths
}

// read reads each file whole, through a buffer, by positions and from positions, and wants the same bytes each time.
func read(dir string) {
	for _, path := range names(dir) {
		whole, err := os.ReadFile(path)
		succeeds(err)

		file, err := os.Open(path)
		succeeds(err)
		same(path, "buffered", whole, all(bufio.NewReaderSize(file, 1000)))
		for _, offset := range []int{0, len(whole) / 3, len(whole) - 1} {
			offset = max(offset, 0)
			rest := make([]byte, len(whole)-offset)
			got, err := file.ReadAt(rest, int64(offset))
			if err != io.EOF {
				succeeds(err)
			}
			same(path, "by position", whole[offset:], rest[:got])
			_, err = file.Seek(int64(offset-len(whole)), io.SeekEnd)
			succeeds(err)
			same(path, "from a position", whole[offset:], all(file))
		}
		stat, err := file.Stat()
		succeeds(err)
		if stat.Size() != int64(len(whole)) {
			panic(path + ": another size")
		}
		succeeds(file.Close())
		fmt.Printf("%s %d %016x\n", filepath.Base(path), len(whole), digest(whole))
	}
}

func all(from io.Reader) []byte {
	content, err := io.ReadAll(from)
	succeeds(err)
	return content
}

func same(path, how string, whole, got []byte) {
	if !bytes.Equal(whole, got) {
		panic(fmt.Sprintf("%s: read %s, it differs", path, how))
	}
}

func walk(root string) {
	succeeds(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		succeeds(err)
		relative, err := filepath.Rel(root, path)
		succeeds(err)
		info, err := entry.Info()
		succeeds(err)
		line := fmt.Sprintf("%s %v", relative, info.Mode().Type())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			succeeds(err)
			line += fmt.Sprintf(" %d %016x", info.Size(), digest(content))
		}
		fmt.Println(line)
		return nil
	}))
}

// open keeps count files open, and reads each twice, in turns.
func open(count int, dir string) {
	paths := names(dir)
	var files []*os.File
	for at := 0; at < count; at++ {
		file, err := os.Open(paths[at%len(paths)])
		succeeds(err)
		files = append(files, file)
	}
	contents := make([][]byte, count)
	for at, file := range files {
		one := make([]byte, 1)
		got, err := file.Read(one)
		succeeds(err)
		contents[at] = one[:got]
	}
	for at, file := range files {
		contents[at] = append(contents[at], all(file)...)
		first := contents[at%len(paths)]
		same(paths[at%len(paths)], "from another handle", first, contents[at])
	}
	for _, file := range files {
		succeeds(file.Close())
	}
	for at, path := range paths {
		fmt.Printf("%s %016x\n", filepath.Base(path), digest(contents[at]))
	}
}
