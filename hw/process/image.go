package process

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ReleaseImage unmaps what this process has touched of its own binary so far: much of it only
// the start needed. What is needed again comes back by itself, from the kernel's page cache
// or, where it was short of memory since, from the disk.
func ReleaseImage() error {
	binary, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("process: %w", err)
	}
	return release(binary)
}

// release unmaps the pages of a file that differ from it nowhere and can not be written to
// (proc_pid_smaps(5)). Those that were relocated, or have breakpoints, stay.
func release(file string) error {
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("process: %w", err)
	}
	defer maps.Close()
	var from, to uintptr // of the mapping that the lines are of
	ours := false
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		var begin, end uintptr
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &begin, &end, &rights); n == 3 {
			from, to = begin, end
			ours = strings.HasSuffix(line, " "+file) && !strings.Contains(rights, "w")
		} else if ours && strings.Join(strings.Fields(line), " ") == "Anonymous: 0 kB" {
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("process: madvise: %w", errno)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("process: read smaps: %w", err)
	}
	return nil
}
