package node_test

import (
	"errors"
	"testing"

	"re6st/actors/node"
	"re6st/hw/openvpn"
)

func TestAMissingOpenVPNIsToldWhereItIsNeeded(t *testing.T) {
	for text, missing := range map[string]bool{
		`openvpn = "/nonexistent/openvpn"`:                                                                     false,
		"tunnels = [\"gre\"]\nopenvpn = \"/nonexistent/openvpn\"":                                              false,
		"tunnels = [\"gre\", \"openvpn-tcp\"]\nopenvpn = \"/nonexistent/openvpn\"":                             true,
		"tunnel_peer = [{prefix = \"5/16\", tunnels = [\"openvpn-udp\"]}]\nopenvpn = \"/nonexistent/openvpn\"": true,
		"tunnel_peer = [{prefix = \"5/16\", tunnels = [\"openvpn-udp\"]}]\nopenvpn = \"/proc/self/exe\"":       false,
	} {
		c, err := node.ParseConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.OpenVPNMissing(); errors.Is(err, openvpn.ErrMissing) != missing || (err != nil) != missing {
			t.Errorf("%s: %v", text, err)
		}
	}
}
