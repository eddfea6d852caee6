package ktunnel

import "net/netip"

// Address is the outer address of an Offer that the peer's Machine says; not valid where it
// offers no tunnel. It fails as Machine.HandleMessage does.
func Address(body []byte) (netip.Addr, error) {
	m, err := decode(body)
	if err != nil || len(m.Kinds) == 0 {
		return netip.Addr{}, err
	}
	return m.Address, nil
}
