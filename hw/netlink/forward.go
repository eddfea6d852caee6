package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	ipv6Conf       = "/proc/sys/net/ipv6/conf"
	forwarding     = ipv6Conf + "/all/forwarding"
	acceptRA       = "1" // accept router advertisements unless forwarding
	acceptRAAlways = "2" // accept them although forwarding
)

// sysctl is a value that was changed, and what it was.
type sysctl struct{ file, was string }

// Forward makes the kernel route IPv6 between interfaces. Because forwarding
// stops an interface from accepting router advertisements (ip-sysctl.rst), each
// one that accepted them is told to go on. undo puts back what was changed; it
// is never nil.
func Forward() (undo func() error, err error) {
	var changed []sysctl
	undo = func() error {
		var errs []error
		for i := len(changed) - 1; i >= 0; i-- {
			err := os.WriteFile(changed[i].file, []byte(changed[i].was), 0)
			if !errors.Is(err, fs.ErrNotExist) { // an interface that went meanwhile took its settings along
				errs = append(errs, err)
			}
		}
		changed = nil
		return errors.Join(errs...)
	}
	interfaces, err := filepath.Glob(ipv6Conf + "/*/accept_ra")
	if err != nil {
		return undo, err
	}
	for _, file := range interfaces {
		if was, err := readSysctl(file); err == nil && was == acceptRA {
			changed, err = setSysctl(changed, sysctl{file, was}, acceptRAAlways)
			if err != nil {
				return undo, err
			}
		}
	}
	was, err := readSysctl(forwarding)
	if err != nil || was == "1" {
		return undo, err
	}
	changed, err = setSysctl(changed, sysctl{forwarding, was}, "1")
	return undo, err
}

func readSysctl(file string) (string, error) {
	raw, err := os.ReadFile(file)
	return string(bytes.TrimSpace(raw)), err
}

func setSysctl(changed []sysctl, s sysctl, value string) ([]sysctl, error) {
	if err := os.WriteFile(s.file, []byte(value), 0); err != nil {
		return changed, fmt.Errorf("cannot let the kernel forward IPv6: %w", err)
	}
	return append(changed, s), nil
}
