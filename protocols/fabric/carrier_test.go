package fabric_test

import (
	"strings"
	"testing"

	"re6st/protocols/fabric"
)

func TestCarriersAreReadAsTheyAreWritten(t *testing.T) {
	for c := range fabric.Carriers {
		if got, err := fabric.ParseCarrier(fabric.Carrier(c).String()); int(got) != c || err != nil {
			t.Errorf("%s: %d, %v", fabric.Carrier(c), got, err)
		}
	}
	if _, err := fabric.ParseCarrier("sctp"); err == nil || !strings.Contains(err.Error(), `"sctp": not udp, quic or tls`) {
		t.Error(err)
	}
}
