package main

import (
	"fmt"
	"io"
)

// Modes of an archive's members, as in stat(2).
const (
	modeDir    = 0o040755
	modeBinary = 0o100755
	modeFile   = 0o100644
)

// cpioEnd is the name of the member that ends an archive.
const cpioEnd = "TRAILER!!!"

// cpio writes an archive in the format that the kernel unpacks as initramfs. The first
// error stays, and Close returns it.
type cpio struct {
	to    io.Writer
	inode uint32
	err   error
}

// add writes one member. Its folder has to come before it.
func (c *cpio) add(name string, mode uint32, data []byte) {
	c.inode++
	links := uint32(1)
	header := []uint32{c.inode, mode, 0, 0, links, 0, uint32(len(data)), 0, 0, 0, 0, uint32(len(name) + 1), 0}
	text := "070701"
	for _, field := range header {
		text += fmt.Sprintf("%08X", field)
	}
	c.write(pad([]byte(text + name + "\x00")))
	c.write(pad(data))
}

// Close ends the archive.
func (c *cpio) Close() error {
	c.add(cpioEnd, 0, nil)
	return c.err
}

func (c *cpio) write(b []byte) {
	if c.err == nil {
		_, c.err = c.to.Write(b)
	}
}

// pad fills up to a multiple of four bytes.
func pad(b []byte) []byte { return append(b[:len(b):len(b)], make([]byte, -len(b)&3)...) }
