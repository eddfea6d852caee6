package ktunnel

import (
	"errors"
	"testing"
)

func TestPortsOfTunnelsAreBounded(t *testing.T) {
	p := NewPorts(7400)
	for i := range uint16(MaxPorts) {
		if port, err := p.Take(); err != nil || port != 7400+i {
			t.Fatal(port, err)
		}
	}
	if _, err := p.Take(); !errors.Is(err, ErrPorts) {
		t.Error(err)
	}
	p.Give(7410)
	if port, err := p.Take(); err != nil || port != 7410 {
		t.Error(port, err)
	}
}

func TestFreePortsAreTakenOnce(t *testing.T) {
	p := NewPorts(0)
	taken := map[uint16]bool{}
	for range 100 {
		port, err := p.Take()
		if err != nil || port == 0 || taken[port] {
			t.Fatal(port, err)
		}
		taken[port] = true
	}
}
