package node

import "re6st/actors/neighbor"

// speakers are the interfaces that speak Babel.
func (c Config) speakers() (all []neighbor.Speaker) {
	for _, name := range c.Trusted {
		all = append(all, neighbor.Speaker{Name: name})
	}
	return all
}
