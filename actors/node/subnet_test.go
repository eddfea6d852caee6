package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/hw/netns"
)

func TestASubnetBehindANode(t *testing.T) {
	const (
		part   = "2001:db8:42:1:1::/80"
		router = "2001:db8:42:1:1::1"
		guest  = "2001:db8:42:1:1::7"
		two    = "2001:db8:42:2::1"
	)
	l := newLAN(t)
	l.check(l.n1.Sysctl("net/ipv6/conf/veth0/accept_ra", "1"))
	dir := l.folder(1, "subnets = [{ interface = \"veth0\", length = 80 }]\n")
	_, kill := l.startKillable(l.n1, nodeEnv+"="+dir, os.Args[0])
	l.node(l.n2, 2, "")
	l.ip(l.other, "addr add "+guest+"/80 dev veth0")
	l.ip(l.other, "-6 route add default via "+router)
	l.until(l.n1, part, "dev veth0", "proto 206")
	l.eventually("the guest is reached", func() bool { return l.answers(l.n2, guest, "1") })
	l.ping(l.n2, "-c", "3", "-i", "0.2", "-w", "10", guest)
	l.ping(l.other, "-c", "3", "-i", "0.2", "-w", "10", two)
	if got := l.sysctl("veth0/accept_ra"); got != "2" {
		t.Errorf("accept_ra is %s while the machine forwards; the uplink's default route would be lost", got)
	}

	t.Run("it returns with its interface", func(t *testing.T) {
		l.ip(l.n1, "link set veth0 down") // takes the address along
		l.gone(l.n1, part)
		l.ip(l.n1, "link set veth0 up")
		l.until(l.n1, part, "dev veth0", "proto 206")
		l.eventually("its router has its address again", func() bool { return l.answers(l.other, router, "1") })
	})
	t.Run("what a crash left goes with the next run", func(t *testing.T) {
		kill()
		if !l.has(router) {
			t.Error("the kernel forgot the address")
		}
		l.check(os.WriteFile(filepath.Join(dir, "node.toml"), nil, 0o600))
		stop := l.start(l.n1, nodeEnv+"="+dir, os.Args[0])
		l.eventually("the address is gone", func() bool { return !l.has(router) })
		l.gone(l.n1, part)
		l.check(stop())
		if ra, forwarding := l.sysctl("veth0/accept_ra"), l.sysctl("all/forwarding"); ra != "1" || forwarding != "0" {
			t.Errorf("after the end accept_ra is %s, forwarding %s", ra, forwarding)
		}
	})
}

// has tells whether n1 has an address.
func (l *lan) has(address string) bool {
	return strings.Contains(l.ip(l.n1, "-6 addr show dev veth0"), address+"/")
}

// sysctl is one of n1's settings of IPv6.
func (l *lan) sysctl(key string) string {
	l.t.Helper()
	return l.setting(l.n1, "net/ipv6/conf/"+key)
}

// setting is one of a namespace.
func (l *lan) setting(ns *netns.NS, key string) string {
	l.t.Helper()
	var raw []byte
	l.check(ns.Do(func() (err error) {
		raw, err = os.ReadFile("/proc/sys/" + key)
		return err
	}))
	return strings.TrimSpace(string(raw))
}

func (l *lan) eventually(what string, ok func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("never: %s", what)
		}
	}
}
