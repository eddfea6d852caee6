package netlink_test

import (
	"os"
	"strings"
	"testing"

	"re6st/hw/netlink"
	"re6st/hw/netns"
)

func TestForwardingKeepsRouterAdvertisements(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	ns, err := netns.Create("re6st-forward-test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { ns.Close(); _ = netns.Delete("re6st-forward-test") }()
	err = ns.Do(func() error {
		conf := "/proc/sys/net/ipv6/conf/"
		for file, value := range map[string]string{"all/forwarding": "0", "lo/accept_ra": "1", "default/accept_ra": "0"} {
			if err := os.WriteFile(conf+file, []byte(value), 0); err != nil {
				return err
			}
		}
		want := func(when string, values map[string]string) {
			for file, value := range values {
				if raw, err := os.ReadFile(conf + file); err != nil || strings.TrimSpace(string(raw)) != value {
					t.Errorf("%s: %s is %q, %v; want %s", when, file, raw, err, value)
				}
			}
		}
		undo, err := netlink.Forward()
		if err != nil {
			return err
		}
		want("forwarding", map[string]string{"all/forwarding": "1", "lo/accept_ra": "2", "default/accept_ra": "0"})
		if err := undo(); err != nil {
			return err
		}
		want("after undo", map[string]string{"all/forwarding": "0", "lo/accept_ra": "1", "default/accept_ra": "0"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
