package netlink_test

import "testing"

func TestGatewayIsOfTheBestDefaultRoute(t *testing.T) {
	l := newLab(t)
	for i, c := range []struct {
		do   []string // ip route
		want string
	}{
		{nil, "invalid IP"},
		{[]string{"add", "default", "via", "192.0.2.1", "metric", "20"}, "192.0.2.1"},
		{[]string{"add", "default", "via", "192.0.2.2", "metric", "10"}, "192.0.2.2"},
		{[]string{"add", "default", "via", "192.0.2.3", "metric", "5", "table", "77"}, "192.0.2.2"},
		{[]string{"del", "default", "metric", "10"}, "192.0.2.1"},
		{[]string{"add", "default", "dev", "v0", "metric", "1"}, "invalid IP"}, // it has no next hop
	} {
		if i == 1 {
			l.ip("addr", "add", "192.0.2.9/24", "dev", "v0")
		}
		if c.do != nil {
			l.ip(append([]string{"route"}, c.do...)...)
		}
		if got, err := l.conn.Gateway(); err != nil || got.String() != c.want {
			t.Errorf("after %v: %v, %v; want %s", c.do, got, err, c.want)
		}
	}
}
