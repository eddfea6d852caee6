package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procSys is where the kernel shows its settings.
const procSys = "/proc/sys"

// number reads a setting that is one number.
func number(root, key string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(root, key))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// settings examines sysctls below root.
func settings(root string) []Finding {
	is := func(key string, good func(int) bool) error {
		n, err := number(root, key)
		if err == nil && !good(n) {
			err = fmt.Errorf("%s is %d", strings.ReplaceAll(key, "/", "."), n)
		}
		return err
	}
	ipv6 := Finding{Area: "settings", Name: "IPv6", For: "the mesh", Cure: "sysctl net.ipv6.conf.all.disable_ipv6=0"}
	forwarding := Finding{
		Area: "settings", Name: "forwarding", For: "machines behind this node; the node turns it on while it runs",
		Cure: "sysctl net.ipv6.conf.all.forwarding=1, where a running node could not",
	}
	table := Finding{
		Area: "settings", Name: "route table", For: "networks of more than 4,000 routes",
		Cure: "sysctl net.ipv6.route.max_size=1048576",
	}
	if n, err := number(root, "net/ipv6/conf/all/forwarding"); err == nil && n == 0 {
		forwarding = forwarding.needed(nil, "off; a node turns it on")
	} else {
		forwarding = forwarding.wanted(err, "on")
	}
	return []Finding{
		ipv6.needed(is("net/ipv6/conf/all/disable_ipv6", func(n int) bool { return n == 0 }), "enabled"),
		forwarding,
		table.wanted(is("net/ipv6/route/max_size", func(n int) bool { return n > smallTable }), "large enough"),
	}
}

// smallTable is the size of the IPv6 route table that old kernels have by default.
const smallTable = 4096
