package doctor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/ktunnel"
)

func find(t *testing.T, all []Finding, name string) Finding {
	t.Helper()
	i := slices.IndexFunc(all, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing about %q in %+v", name, all)
	}
	return all[i]
}

func TestEveryLackHasACure(t *testing.T) {
	all := Examine(Patient{Dir: t.TempDir()})
	for _, f := range all {
		if f.Area == "" || f.Name == "" || f.Found == "" || f.Grade == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if (f.Grade == Lack || f.Grade == Note) && (f.Cure == "" || f.For == "") {
			t.Errorf("no cure, or for nobody: %+v", f)
		}
		if f.Grade == OK && f.Cure != "" {
			t.Errorf("a cure for what is well: %+v", f)
		}
		t.Logf("%-8s %-9s %-18s %s", f.Grade, f.Area, f.Name, f.Found)
	}
}

func TestWhatATunnelLacksIsToldWithItsModules(t *testing.T) {
	all := Examine(Patient{Dir: t.TempDir()})
	if slices.ContainsFunc(all, func(f Finding) bool { return f.Name == "features" }) {
		t.Skip("needs root, to try them in a network namespace")
	}
	for name, module := range map[string]string{
		"gre": "ip_gre", "ip6gre": "ip6_gre", "fou": "fou", "fou6": "fou6", "wireguard": "wireguard", "tunnel filters": "act_gact",
	} {
		if f := find(t, all, name); f.Grade != OK && !strings.Contains(f.Cure, module) {
			t.Errorf("no module %s: %+v", module, f)
		}
	}
	if err := lack(fmt.Errorf("filter: %w", ktunnel.ErrUnfiltered)); err == nil || err.Error() != "not in this kernel, or not loaded" {
		t.Error(err)
	}
}

func TestTheExaminationLeavesNothingBehind(t *testing.T) {
	before := interfaces(t)
	Examine(Patient{Dir: t.TempDir()})
	if after := interfaces(t); !slices.Equal(before, after) {
		t.Errorf("interfaces %q, before %q", after, before)
	}
}

func interfaces(t *testing.T) (names []string) {
	t.Helper()
	links, err := vnl.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func TestSettingsThatHinder(t *testing.T) {
	root := t.TempDir()
	set := func(key, value string) {
		file := filepath.Join(root, key)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	set("net/ipv6/conf/all/disable_ipv6", "1")
	set("net/ipv6/conf/all/forwarding", "0")
	set("net/ipv6/route/max_size", "4096")
	all := settings(root)
	if f := find(t, all, "IPv6"); f.Grade != Lack || !strings.Contains(f.Found, "disable_ipv6 is 1") {
		t.Errorf("%+v", f)
	}
	if f := find(t, all, "route table"); f.Grade != Note || !strings.Contains(f.Found, "4096") {
		t.Errorf("%+v", f)
	}
	if f := find(t, all, "forwarding"); f.Grade != OK {
		t.Errorf("a node turns forwarding on, so %+v", f)
	}
	set("net/ipv6/conf/all/disable_ipv6", "0")
	set("net/ipv6/conf/all/forwarding", "1")
	set("net/ipv6/route/max_size", "2147483647")
	for _, f := range settings(root) {
		if f.Grade != OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestReleases(t *testing.T) {
	for text, want := range map[string]bool{"5.10.0-1-amd64 x86_64": true, "5.4.0": false, "6.1.2": true, "4.19": false, "10.0": true, "odd": false} {
		if got := atLeast(text, minKernel); got != want {
			t.Errorf("%q is new enough: %t, want %t", text, got, want)
		}
	}
}

func TestAnUnknownKindIsMissingAndABadRequestIsNot(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, unix.EINVAL: false, unix.EOPNOTSUPP: true, fmt.Errorf("link: %w", unix.EOPNOTSUPP): true, unix.EPERM: true,
	} {
		if got := missing(err, unix.EOPNOTSUPP); (got != nil) != want {
			t.Errorf("%v: missing %v, want %t", err, got, want)
		}
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	if f := folder(filepath.Join(dir, "none"))[0]; f.Grade != Lack || !strings.Contains(f.Found, "no such file") {
		t.Errorf("%+v", f)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.key"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	all := folder(dir)
	if all[0].Grade != OK {
		t.Errorf("%+v", all[0])
	}
	if f := find(t, all, "node.key"); f.Grade != Lack || !strings.Contains(f.Cure, "chmod 600 "+dir) {
		t.Errorf("%+v", f)
	}
}

func TestAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("cannot mount a tmpfs: ", err)
	}
	defer unix.Unmount(dir, 0)
	if f := folder(dir)[0]; f.Grade != Lack || !strings.Contains(f.Found, "kB are free") {
		t.Errorf("%+v", f)
	}
	if err := unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if f := folder(dir)[0]; f.Grade != Lack || !strings.Contains(f.Found, "read-only") {
		t.Errorf("%+v", f)
	}
}

func TestAPortThatAnotherHas(t *testing.T) {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	if f := Port(port); f.Grade != Lack || f.Found != "another program has it" {
		t.Errorf("%+v", f)
	}
	if f := Port(0); f.Grade != OK {
		t.Errorf("%+v", f)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port = uint16(l.Addr().(*net.TCPAddr).Port)
	if f := TLSPort(port); f.Grade != Note || f.Found != "another program has it" || !strings.Contains(f.Cure, "tls_port") {
		t.Errorf("%+v", f)
	}
	if f := TLSPort(0); f.Grade != OK {
		t.Errorf("%+v", f)
	}
}
