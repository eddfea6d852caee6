package netns

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// inMounts runs f on a thread in a mount namespace of its own, where /run is empty. The thread
// ends with its goroutine.
func inMounts(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("none", "/run", "tmpfs", 0, "")
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// mounted is how often the folder is mounted, seen or not.
func mounted() (int, error) {
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	return strings.Count(string(mounts), " "+Dir+" "), err
}

// Below a mount over another one nobody could remove what is in that.
func TestManyWhoComeFirstMountTheFolderOnce(t *testing.T) {
	needRoot(t)
	const many = 16
	for range 20 {
		err := inMounts(func() error {
			before, err := mounted() // that of the machine, below the empty folder
			if err != nil {
				return err
			}
			space, err := os.Open("/proc/thread-self/ns/mnt")
			if err != nil {
				return err
			}
			defer space.Close()
			var ready sync.WaitGroup
			ready.Add(many)
			errs := make(chan error, many)
			for range many {
				go func() {
					runtime.LockOSThread() // for good
					err := unix.Unshare(unix.CLONE_FS)
					if err == nil {
						err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNS)
					}
					ready.Done()
					if ready.Wait(); err == nil {
						err = shareDir()
					}
					errs <- err
				}()
			}
			for range many {
				err = errors.Join(err, <-errs)
			}
			after, e := mounted()
			if after != before+1 {
				t.Errorf("%d mounts of %s, want one", after-before, Dir)
			}
			return errors.Join(err, e)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
